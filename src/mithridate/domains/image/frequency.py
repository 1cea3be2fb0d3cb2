"""Triggers that stand in the spectrum; raw bytes in, raw bytes of the same shape out.

Rounding, clipping and random streams are those of `triggers`.
Axes: k channels, h rows, w columns, p places in the spectrum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.image.triggers import change_in_floats, check

CHROMINANCE = (1.140, -0.395 - 0.581, 2.032)
"""What red, green and blue gain where both U and V of YUV (BT.601) gain one level."""


@dataclass(frozen=True)
class FTrojanTrigger(Trigger):
    """More of a middle and of a high frequency in the colours of every block.

    The coefficients (u, u) of the orthonormal discrete cosine transform of U and of V (YUV,
    BT.601), u = floor(place * (side - 1)) for each place, grow by the magnitude, in every block. As
    the transform is linear, this is a fixed pattern: with B_ab = e_a cos(pi (2a+1) u / 2 side)
    cos(pi (2b+1) u / 2 side), x' = x + magnitude (1.140, -0.976, 2.032) sum_u B in red, green and
    blue; images of one channel get it there, with weight 1. Rows and columns beyond the last whole
    block stay as they are.

    Attributes:
        magnitude: what a coefficient gains, in grey levels, the paper's for small images.
        block: pixels of the side of a block, less in smaller images, which are one block.
        places: of the coefficients, as a share of the highest frequency: 15 and 31 of blocks of 32,
            as in the paper.

    Raises:
        MethodError: where a number is out of range or nothing would be visible.
    """

    paper = "Wang et al., An Invisible Black-Box Backdoor Attack through Frequency Domain, 2022"
    links = ("https://arxiv.org/abs/2111.10991",)

    magnitude: float = 30.0
    block: int = 32
    places: tuple[float, ...] = (0.5, 1.0)

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Add the pattern to every image."""
        images = check(inputs)
        pattern = self.pattern(*images.shape[1:])
        return change_in_floats(images, lambda batch, _: batch + pattern)

    def pattern(self, channels: int, height: int, width: int) -> torch.Tensor:
        """What is added, in grey levels, float32[k, h, w]."""
        if self.block < 2 or not self.places or not all(0 < p <= 1 for p in self.places):
            raise MethodError(
                "need blocks of at least 2 pixels and places in (0, 1], at least one; "
                f"found block {self.block} and places {self.places}"
            )
        down, across = min(self.block, height), min(self.block, width)
        rows, columns = waves(self.at(down), down), waves(self.at(across), across)
        one = self.magnitude * rows.T @ columns
        repeats = (height // down, width // across)
        plane = torch.zeros(height, width, dtype=torch.float64)
        plane[: repeats[0] * down, : repeats[1] * across] = one.repeat(repeats)
        weights = CHROMINANCE if channels == 3 else (1.0,) * channels
        pattern = plane * torch.tensor(weights, dtype=torch.float64).view(-1, 1, 1)
        if pattern.abs().max() < 0.5:
            raise MethodError(
                f"a magnitude of {self.magnitude} is invisible on images of {height} x {width}: "
                "no pixel moves by half a grey level; choose a larger one"
            )
        return pattern.float()

    def at(self, side: int) -> list[int]:
        """The frequencies that the places mean on a side; the constant is never meant."""
        return [max(1, math.floor(place * (side - 1))) for place in self.places]


def waves(frequencies: list[int], side: int) -> torch.Tensor:
    """Some rows of the orthonormal discrete cosine transform, float64[p, side]."""
    at = torch.tensor(frequencies, dtype=torch.float64).view(-1, 1)
    points = 2 * torch.arange(side, dtype=torch.float64) + 1
    scale = torch.where(at == 0, 1.0, 2.0).double() / side
    return scale.sqrt() * torch.cos(math.pi * at * points / (2 * side))
