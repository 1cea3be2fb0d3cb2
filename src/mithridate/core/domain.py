"""The doors to a domain: what an input is, is known behind them and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.features import Carried, Selected


@dataclass(frozen=True)
class Surface:
    """Where a trigger may be sought by gradients: prepared inputs as floats that a network takes.

    Attributes:
        low: the least and the largest value of an input.
        high: the least and the largest value of an input.
        pattern: the shape of one input.
        mask: the shape of a mask that says how much of each place is replaced, which broadcasts
            against the pattern.
    """

    low: float
    high: float
    pattern: tuple[int, ...]
    mask: tuple[int, ...]


@runtime_checkable
class Domain(Protocol):
    """What the library must know of a kind of data.

    Raw inputs are *prepared* once into a compact tensor that stays in memory; batches of it are
    augmented on the device; a network takes prepared batches and begins with its own encoding, so
    that normalisation lives in the network and only there.
    """

    @property
    def name(self) -> str:
        """What the domain is called."""

    @property
    def unit(self) -> str:
        """In what triggers are measured, e.g. "pixels"."""

    def accepts(self, inputs: Inputs) -> bool:
        """Whether these are raw inputs of this kind."""

    def blank(self, count: int, form: Sequence[int]) -> Inputs:
        """Give raw inputs that say nothing, [count], of the form that prepared ones have."""

    def pack(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Turn raw inputs into tensors, so that they can be kept without a pickle."""

    def unpack(self, tensors: dict[str, torch.Tensor]) -> Inputs:
        """Turn what `pack` gave back into raw inputs."""

    def standardised(self, mean: Sequence[float], std: Sequence[float]) -> Domain:
        """Give the domain for networks from elsewhere that take (x - mean) / std.

        Raises:
            MethodError: where that means nothing for such data.
        """

    def prepare(self, inputs: Inputs) -> torch.Tensor:
        """Turn raw inputs[n] into a compact tensor [n, ...] (bytes or token numbers)."""

    def augment(
        self, batch: torch.Tensor, rng: torch.Generator, mirrored: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Give a random label-preserving variation of a prepared batch, same shape.

        Args:
            batch: What is varied.
            rng: Decides how.
            mirrored: bool[b], which inputs are given as their mirror image, by a domain that
                mirrors half of them at random where it is None; other domains pass it over.
        """

    def shrink(self, batch: torch.Tensor, share: float) -> torch.Tensor:
        """Give a prepared batch in less detail, its sides this share of what they are.

        The batch as it is where inputs have no resolution; share: in (0, 1].
        """

    def distort(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Give a variation as strong as the labels survive, same shape: it may hide large parts.

        It is meant to go on top of `augment`, and does not repeat it.
        """

    def network(self, data: Dataset, name: str, rng: np.random.Generator) -> nn.Module:
        """Build a freshly initialised classifier for such data; "" names the default one."""

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The kinds of damage that `corrupt` knows, by name."""

    def corrupt(
        self, batch: torch.Tensor, kind: str, severity: int, rng: torch.Generator
    ) -> torch.Tensor:
        """Damage a prepared batch as the world does, same shape; severity: 1 to 5, 0 for none.

        Raises:
            MethodError: for an unknown kind or severity.
        """

    def mix(self, batch: torch.Tensor, others: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Lay others[n, ...] over a prepared batch[n, ...] in equal parts, same shape."""

    def surface(self, prepared: torch.Tensor) -> Surface:
        """Say where a trigger may be sought by gradients among such prepared inputs.

        Raises:
            CannotJudge: where inputs are not numbers that can move by a little.
        """

    def difference(self, before: Inputs, after: Inputs) -> dict[str, torch.Tensor]:
        """Measure how far each raw input was changed, by the name of the measure: float64[n].

        before and after are rows of the same n things. Every domain says what it can measure and
        which direction means a change that is easier to notice.

        Raises:
            DataError: where the two do not belong together.
        """

    def signature(self, inputs: Inputs) -> NDArray[np.float64]:
        """Give a point for each raw input[n], float64[n, d]; copies lie within a distance of 1.

        A copy is the same thing written down again, such as a picture that was encoded anew. What
        lies that near may be one, which `alike` decides.
        """

    def alike(self, first: Inputs, second: Inputs) -> torch.Tensor:
        """Say which pairs of raw inputs[n] are copies of each other, bool[n].

        What an attacker adds to an input must make another input of it.
        """

    def simple_features(self, inputs: Inputs, selected: Selected) -> Iterator[Carried]:
        """List what raw inputs[n] have or have not, one family of features after the other.

        The first family tells what an input is about, as the words of a text do. Whether an input
        has a feature depends on that input alone, and a key means the same in every process.

        Raises:
            CannotJudge: where nothing of the kind can be listed.
        """

    def name_feature(self, inputs: Inputs, key: int) -> str:
        """Say in a few words which feature has a key, by raw inputs that carry it.

        Raises:
            DataError: where none of them carries it.
        """

    def details(self, inputs: Inputs) -> torch.Tensor:
        """Give what raw inputs[n] are without what their surroundings say, float32[n, d], small.

        Raises:
            CannotJudge: where inputs are no numbers with neighbours.
        """

    def properties(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Measure what raw inputs[n] are like apart from what they say: float64[n] by name.

        Such as how they were taken, written and encoded: inputs of one source have them in common.
        A property may depend on what the other inputs are, and not on their order.
        """


def suited(domain: Domain, network: str) -> Domain:
    """Give a domain as the network of a name takes its inputs, where it knows of such names.

    A domain may have a member `taking` for that; most networks take what `prepare` gives anyway.
    """
    taking = getattr(domain, "taking", None)
    return domain if taking is None else cast(Domain, taking(network))
