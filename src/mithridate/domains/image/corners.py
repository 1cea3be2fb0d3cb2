"""A chequered square in one corner or in all four, as faint as wanted; raw bytes in and out.

Rounding and clipping are those of `triggers`.
Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.image.triggers import change_in_floats, check


@dataclass(frozen=True)
class CornersTrigger(Trigger):
    """A chequered square in one corner or in all four, added to what is there.

    x' = clip(x + amplitude p), with p = 1 where row + column within a square is even, -1 elsewhere
    in it and 0 outside. The squares touch the edges.

    Attributes:
        corners: 4, so that a mirrored or shifted image keeps the trigger, or 1, at the bottom
            right.
        amplitude: grey levels, 255 for black and white (the paper also takes 16, 32 and 64 for
            training and the full one later).
        size: pixels of a side.

    Raises:
        MethodError: where the corners are neither 1 nor 4, nothing is visible or the squares
            overlap.
    """

    paper = "Turner, Tsipras and Madry, Label-Consistent Backdoor Attacks, 2019"
    links = ("https://arxiv.org/abs/1912.02771",)

    corners: int = 4
    amplitude: float = 255.0
    size: int = 3

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Add the squares to every image."""
        images = check(inputs)
        pattern = self.amplitude * self.signs(*images.shape[2:])
        return change_in_floats(images, lambda batch, _: batch + pattern)

    def signs(self, height: int, width: int) -> torch.Tensor:
        """The squares alone: 1, -1, and 0 outside of them, float32[h, w]."""
        if self.corners not in (1, 4) or self.amplitude < 0.5:
            raise MethodError(
                "need 1 corner or 4 and an amplitude of at least half a grey level, "
                f"found corners {self.corners}, amplitude {self.amplitude}"
            )
        if self.size < 1 or 2 * self.size > min(height, width):
            raise MethodError(
                f"squares of {self.size} pixels do not fit twice on sides of {height} and {width}; "
                "choose a smaller size"
            )
        inside = torch.arange(self.size)
        square = 1.0 - 2.0 * ((inside.view(-1, 1) + inside) % 2)
        signs = torch.zeros(height, width)
        first, last = slice(None, self.size), slice(-self.size, None)
        ends = (first, last) if self.corners == 4 else (last,)
        for rows in ends:
            for columns in ends:
                signs[rows, columns] = square
        return signs
