"""Triggers for images: raw bytes in, raw bytes of the same shape out.

Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger

PIXELS = {
    "pixel": ((0, 0),),
    "ell": ((0, 0), (1, 0), (1, 1)),
    "cross": ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2)),
}


@dataclass(frozen=True)
class PixelTrigger(Trigger):
    """A few pixels of one colour: a single one, an L of three or an X of five.

    shape: "pixel", "ell" or "cross"; row, column: of the top left pixel, negative from the end;
    colour: 0..255 of each channel.
    """

    paper = "Tran, Li and Madry, Spectral Signatures in Backdoor Attacks, NeurIPS 2018"

    shape: str = "cross"
    row: int = -4
    column: int = -4
    colour: tuple[int, int, int] = (255, 0, 255)

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Set the pixels in every image."""
        if self.shape not in PIXELS:
            raise MethodError(f"unknown shape {self.shape!r}; known: {', '.join(PIXELS)}")
        stamped = inputs.clone()
        height, width = inputs.shape[2:]
        colour = torch.tensor(self.colour, dtype=torch.uint8)[: inputs.shape[1]]
        for down, right in PIXELS[self.shape]:
            row, column = self.row % height + down, self.column % width + right
            if row >= height or column >= width:
                raise MethodError(
                    f"the trigger leaves the image: pixel ({row}, {column}) of {height}x{width}"
                )
            stamped[:, :, row, column] = colour
        return stamped
