"""The domain of observations: what an agent sees, of which its policy makes an action.

Axes: n observations, h rows, w columns, k planes or values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.data import Dataset, Inputs
from mithridate.core.domain import Surface
from mithridate.core.errors import MethodError
from mithridate.core.features import Carried, Selected
from mithridate.core.streams import seed_torch
from mithridate.domains.observation.form import check, is_planes, is_vectors

HIDDEN, FLIPPED = 0.1, 0.02
"""The shares of planes or values that the strong variation hides, and of cells that it flips."""


@dataclass(frozen=True)
class ObservationDomain:
    """Observations as planes of cells bool[n, h, w, k] or vectors float32[n, 1, 1, k].

    A vector is a grid of one cell with k values. Images are uint8, and sound and columns of numbers
    have fewer axes, so the form alone tells observations from them.

    Attributes:
        noise: standard deviation of the noise of augmentation, as a share of each value; planes are
            left as they are.
    """

    noise: float = 0.0
    name: str = "observation"

    @property
    def unit(self) -> str:
        """Triggers are measured in cells, of which a vector has one for each value."""
        return "cells"

    def accepts(self, inputs: Inputs) -> bool:
        """Whether these are planes or vectors, by their form."""
        return is_planes(inputs) or is_vectors(inputs)

    def blank(self, count: int, form: Sequence[int]) -> Inputs:
        """Give empty planes, or vectors of zeros where a form has a single cell."""
        kind = torch.float32 if tuple(form[:2]) == (1, 1) else torch.bool
        return torch.zeros(count, *form, dtype=kind)

    def pack(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Keep observations as they are, planes as bytes."""
        seen = check(inputs)
        return {"planes": seen.byte()} if is_planes(seen) else {"vectors": seen}

    def unpack(self, tensors: dict[str, torch.Tensor]) -> Inputs:
        """Give the observations back."""
        return tensors["planes"].bool() if "planes" in tensors else tensors["vectors"]

    def standardised(self, mean: Sequence[float], std: Sequence[float]) -> ObservationDomain:
        """Refuse: each value of an observation has a scale of its own.

        Raises:
            MethodError: always.
        """
        raise MethodError(
            "a mean and a standard deviation are for images; a policy that was trained on "
            "normalised observations takes its trajectories as the normaliser gave them"
        )

    def prepare(self, inputs: Inputs) -> torch.Tensor:
        """Check that these are observations and keep them as they are."""
        return check(inputs)

    def augment(
        self, batch: torch.Tensor, rng: torch.Generator, mirrored: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Give the batch with the noise that was asked for; a mirror would change the action."""
        if not self.noise or batch.dtype == torch.bool:
            return batch
        drawn = torch.randn(batch.shape, generator=rng, device=rng.device)
        return batch + self.noise * batch.abs() * drawn

    def shrink(self, batch: torch.Tensor, share: float) -> torch.Tensor:
        """Give the batch as it is: a cell more or less is another world."""
        return batch

    def distort(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Hide a tenth of the planes or values of each observation and change the rest a little.

        Values are multiplied by 1 + 0.1 z with a normal z; of planes one cell in fifty is flipped.
        """
        n, _, _, channels = batch.shape
        drawn = torch.rand(n, 1, 1, channels, generator=rng, device=rng.device).to(batch.device)
        hidden = (drawn < HIDDEN) & (channels > 1)
        if batch.dtype == torch.bool:
            place = torch.rand(batch.shape, generator=rng, device=rng.device).to(batch.device)
            first = place.flatten(1).amin(1).view(-1, 1, 1, 1)  # one is flipped in any case
            flipped = (place < FLIPPED) | (place == first)
            return batch.masked_fill(hidden, 0) ^ flipped
        shaken = torch.randn(batch.shape, generator=rng, device=rng.device).to(batch.device)
        return (batch * (1 + 0.1 * shaken)).masked_fill(hidden, 0)

    @property
    def corruptions(self) -> tuple[str, ...]:
        """The kinds of damage that `corrupt` knows: noise of sensors, and readings that fail."""
        return ("noise", "dropped")

    def corrupt(
        self, batch: torch.Tensor, kind: str, severity: int, rng: torch.Generator
    ) -> torch.Tensor:
        """Damage observations as sensors do, the same draw for every one of a batch.

        noise: values are multiplied by 1 + s z / 10 with a normal z, and of planes a share s / 100
        of the cells is flipped; dropped: a share s / 20 of the cells or values reads 0.
        """
        if kind not in self.corruptions or severity not in range(6):
            raise MethodError(
                f"expected damage of a kind among {', '.join(self.corruptions)} and a severity "
                f"from 0 to 5, found {kind!r} and {severity}"
            )
        if not severity:
            return batch
        shape, device = batch.shape[1:], batch.device
        if kind == "dropped":
            order = torch.rand(shape, generator=rng, device=rng.device).flatten().argsort()
            fails = order.argsort().view(shape) < max(1, severity * order.numel() // 20)
            return batch.masked_fill(fails.to(device), 0)
        if batch.dtype == torch.bool:
            flips = torch.rand(shape, generator=rng, device=rng.device) < severity / 100
            return batch ^ flips.to(device)
        drawn = torch.randn(shape, generator=rng, device=rng.device).to(device)
        return batch * (1 + severity / 10 * drawn)

    def mix(self, batch: torch.Tensor, others: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Give the mean of two vectors; of two planes, a random half of the cells of each."""
        if batch.dtype != torch.bool:
            return (batch + others) / 2
        drawn = torch.rand(batch.shape[1:], generator=rng, device=rng.device).to(batch.device)
        return torch.where(drawn < 0.5, batch, others)

    def surface(self, prepared: torch.Tensor) -> Surface:
        """Planes move in 0..1, a mask covers all planes of a cell; vectors in the range seen.

        A mask of a vector covers single values. The range is that of all values together, so a
        pattern may give a coordinate what only another one reaches.
        """
        shape = tuple(prepared.shape[1:])
        if prepared.dtype == torch.bool:
            return Surface(0.0, 1.0, shape, (*shape[:2], 1))
        return Surface(float(prepared.min()), float(prepared.max()), shape, shape)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of our own networks of observations."""
        from mithridate.domains.observation.networks import NETWORKS

        return tuple(NETWORKS)

    def network(self, data: Dataset, name: str, rng: np.random.Generator) -> nn.Module:
        """Build one of the networks; "" is the convolution for planes and layers for vectors."""
        from mithridate.domains.observation.networks import build

        seen = self.prepare(data.inputs)
        usual = "conv" if seen.dtype == torch.bool else "mlp"
        with seed_torch(rng):
            return build(name or usual, seen, len(data.classes))

    def difference(self, before: Inputs, after: Inputs) -> dict[str, torch.Tensor]:
        """Measure how far observations were moved: cells, share and largest, float64[n] each."""
        from mithridate.domains.observation.stealth import difference

        return difference(check(before), check(after))

    def signature(self, inputs: Inputs) -> NDArray[np.float64]:
        """Give points that equal observations share."""
        from mithridate.domains.observation.copies import signature

        return signature(check(inputs))

    def alike(self, first: Inputs, second: Inputs) -> torch.Tensor:
        """Say which pairs of observations are equal, bool[n]."""
        return (check(first) == check(second)).flatten(1).all(1)

    def simple_features(self, inputs: Inputs, selected: Selected) -> Iterator[Carried]:
        """List which cells are on, alone and with their neighbours, or in what range values lie."""
        from mithridate.domains.observation.features import simple_features

        return simple_features(check(inputs), selected)

    def name_feature(self, inputs: Inputs, key: int) -> str:
        """Say which feature of observations has a key."""
        from mithridate.domains.observation.features import name_feature

        return name_feature(check(inputs), key)

    def details(self, inputs: Inputs) -> torch.Tensor:
        """Give how far each cell is from the mean around it, float32[n, h w k]; only of planes."""
        from mithridate.domains.observation.features import details

        return details(check(inputs))

    def properties(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Measure how full or how large observations are, float64[n] each."""
        from mithridate.domains.observation.stealth import properties

        return properties(check(inputs))


DOMAIN = ObservationDomain
"""What the registry of domains builds."""
