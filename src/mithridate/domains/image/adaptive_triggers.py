"""Triggers of attackers who train with less than they use later; raw bytes in and out.

The pieces of a pattern, of which each image carries its own, are `BlendTrigger` with `keep`.
Rounding, clipping and random streams are those of `triggers`.
Axes: n images, k channels, h rows, w columns, p squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.core.streams import stream
from mithridate.domains.image.triggers import PatchesTrigger, change_in_floats, check, subsets


@dataclass(frozen=True)
class UnevenPatchesTrigger(Trigger):
    """Several small squares of unlike opacities, of which each image carries a random few.

    x' = (1 - o_i) x + o_i p_i on the square i. Places and patterns are those of `PatchesTrigger` of
    the same seed. The opacities are the paper's for CIFAR-10, where one of four pictures is in each
    training image; two of the four, at opacity 1, are in test images: opacities = (1, 0, 1, 0),
    keep = 2. The squares here hold random bytes instead of pictures.

    Attributes:
        opacities: o_i in 0..1, one for each square; a square of opacity 0 only keeps its place.
        keep: how many of the squares that can be seen each image carries, drawn anew for every one.
        size: pixels of a side.
        seed: of the patterns.

    Raises:
        MethodError: where an opacity or `keep` is out of range, or the squares do not fit.
    """

    paper = (
        "Qi et al., Revisiting the Assumption of Latent Separability for Backdoor Defenses, 2023"
    )
    links = ("https://arxiv.org/abs/2205.13613",)

    opacities: tuple[float, ...] = (0.5, 0.2, 0.5, 0.3)
    keep: int = 1
    size: int = 3
    seed: int = 0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Stamp a random subset of the squares that can be seen on every image."""
        seen = [number for number, opacity in enumerate(self.opacities) if opacity > 0]
        if not (all(0 <= o <= 1 for o in self.opacities) and 1 <= self.keep <= len(seen)):
            raise MethodError(
                "need opacities in 0..1 and 1 <= keep <= the number of those above 0; "
                f"found opacities {self.opacities} and keep {self.keep}"
            )
        images = check(inputs)
        pattern, place = self.squares(*images.shape[1:])
        shares = torch.zeros(len(images), len(self.opacities) + 1)
        visible = torch.tensor([self.opacities[number] for number in seen])
        shares[:, seen] = subsets(len(images), len(seen), self.keep, rng) * visible

        def stamp(batch: torch.Tensor, rows: slice) -> torch.Tensor:
            return batch + shares[rows][:, place].unsqueeze(1) * (pattern - batch)

        return change_in_floats(images, stamp)

    def squares(self, channels: int, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The patterns in grey levels, float32[k, h, w], and the square of a pixel, int64[h, w].

        Pixels of no square are given the number p.
        """
        number = len(self.opacities)
        opaque = PatchesTrigger(number, number, self.size, 1.0, self.seed)
        blank = torch.zeros(1, channels, height, width, dtype=torch.uint8)
        pattern = opaque(blank, stream(self.seed, "squares"))[0].float()
        rows, columns = opaque.lattice(height), opaque.lattice(width)
        place = torch.full((height, width), number)
        for square in range(number):
            row, column = rows[square // len(columns)], columns[square % len(columns)]
            place[row : row + self.size, column : column + self.size] = square
        return pattern, place
