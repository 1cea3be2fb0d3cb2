"""The noise mode of the warping attack; raw bytes in, raw bytes of the same shape out.

Rounding, clipping and random streams are those of `triggers`.
Axes: b images of a batch, k channels, h rows, w columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.core.streams import torch_generator
from mithridate.domains.image.global_triggers import WarpTrigger
from mithridate.domains.image.triggers import change_in_floats, check


@dataclass(frozen=True)
class NoisyWarpTrigger(Trigger):
    """The warp of `WarpTrigger` with random offsets of its own for every image.

    The value at a pixel is read where the warp of the same grid, strength and seed reads it, moved
    by noise U / size in coordinates that run from -1 to 1, U uniform in [-1, 1] for each pixel, row
    and column, drawn anew for every image, and size being h for rows and w for columns: up to noise
    / 2 pixels. Meant for cover examples, which keep their labels: a network that sees such images
    under true labels learns that only the exact warp counts, and no warp that a defender might
    find.

    Attributes:
        grid: of the warp, places along each side of the lattice.
        strength: of the warp, in twice the mean shift in pixels.
        noise: of the offsets, in twice the largest one in pixels, 1 as in the paper.
        seed: of the warp.

    Raises:
        MethodError: where the noise or the strength is not positive or the grid smaller than 2.
    """

    paper = "Nguyen and Tran, WaNet: Imperceptible Warping-based Backdoor Attack, ICLR 2021"
    links = ("https://arxiv.org/abs/2102.10369",)

    grid: int = 4
    strength: float = 0.5
    noise: float = 1.0
    seed: int = 0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Warp every image in its own way."""
        images = check(inputs)
        if self.noise <= 0:
            raise MethodError(
                f"the noise must be positive, found {self.noise}; "
                "without noise use the warp itself: WarpTrigger"
            )
        height, width = images.shape[2:]
        places = WarpTrigger(self.grid, self.strength, self.seed).places(height, width)
        reach, drawn = self.noise / torch.tensor([width, height]), torch_generator(rng)

        def warp(batch: torch.Tensor, _: slice) -> torch.Tensor:
            uniform = 2 * torch.rand((len(batch), height, width, 2), generator=drawn) - 1
            each = (places + reach * uniform).clamp(-1, 1)
            return F.grid_sample(batch, each, align_corners=True)

        return change_in_floats(images, warp)
