"""The doors to a domain: what an input is, is known behind them and nowhere else."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset, Inputs


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

    def prepare(self, inputs: Inputs) -> torch.Tensor:
        """Turn raw inputs[n] into a compact tensor [n, ...] (bytes or token numbers)."""

    def augment(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Give a random label-preserving variation of a prepared batch, same shape."""

    def distort(self, batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Give a variation as strong as the labels survive, same shape: it may hide large parts.

        It is meant to go on top of `augment`, and does not repeat it.
        """

    def network(self, data: Dataset, name: str, rng: np.random.Generator) -> nn.Module:
        """Build a freshly initialised classifier for such data; "" names the default one."""

    def difference(self, before: Inputs, after: Inputs) -> dict[str, torch.Tensor]:
        """Measure how far each raw input was changed, by the name of the measure: float64[n].

        before and after are rows of the same n things. Every domain says what it can measure and
        which direction means a change that is easier to notice. Raises DataError where the two
        do not belong together.
        """
