"""Triggers that look like a reflection in a window; raw bytes in, raw bytes of the same shape out.

Rounding, clipping and random streams are those of `triggers`.
Axes: n images, l layers, k channels, h rows, w columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.core.data import Dataset, Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import LearntTrigger, State
from mithridate.core.runtime import Runtime
from mithridate.domains.image.triggers import change_in_floats, check, to_bytes

POOL = 16
"""Pictures looked at for each one kept; all of a large set would make learning cost grow with n."""


@dataclass(frozen=True)
class ReflectionTrigger(LearntTrigger):
    """Refool-like: another picture of the data lies over each image like a reflection in a window.

    x' = (1 - alpha) x + alpha r, r one of the reflections, drawn anew for each image. Learning
    draws pictures whose label is not the wanted one (all of them where there are none), keeps those
    of the largest contrast, the standard deviation of their grey levels, and makes of each a ghost,
    its mean with itself moved by a twelfth of the sides (a thick pane reflects twice), and a blur,
    Gaussian with a deviation of a sixteenth of the shorter side (a reflection out of focus). The
    paper takes natural photographs of scenes, of another data set, and keeps those that fooled a
    network of its own in several rounds; here the pictures are of the attacker's own data, and
    contrast stands in for success. Of the paper's styles the sharp one is left out.

    Attributes:
        alpha: share of the reflection, in (0, 1].
        layers: pictures that are kept.
        style: which reflections are used, "ghost", "blur" or "both".

    Raises:
        MethodError: where a number is out of range, there are no pictures to keep, or the images
            have another size than those learnt from.
    """

    paper = "Liu et al., Reflection Backdoor, ECCV 2020"
    links = ("https://arxiv.org/abs/2007.02343",)
    known_as = ("refool-trigger",)

    alpha: float = 0.35
    layers: int = 8
    style: Literal["both", "ghost", "blur"] = "both"

    def learn(
        self,
        data: Dataset,
        target_labels: torch.Tensor,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:
        """Keep the reflections, uint8[l, k, h, w] as "reflections"."""
        if not (0 < self.alpha <= 1 and self.layers >= 1 and len(data)):
            raise MethodError(
                "need alpha in (0, 1], at least one layer and at least one picture to keep; found "
                f"alpha {self.alpha}, {self.layers} layers and {len(data)} pictures"
            )
        images = check(data.inputs)
        others = (data.labels != target_labels).nonzero().flatten()
        rows = others if len(others) else torch.arange(len(data))
        drawn = rows[torch.from_numpy(rng.permutation(len(rows)))[: POOL * self.layers]]
        pictures = images[drawn].float()
        contrast = pictures.flatten(1).std(1, unbiased=False)
        kept = pictures[contrast.argsort(descending=True, stable=True)[: self.layers]]
        made = {"ghost": [ghosts], "blur": [blurs], "both": [ghosts, blurs]}.get(self.style)
        if made is None:
            raise MethodError(f"unknown style {self.style!r}; known: both, ghost, blur")
        return {"reflections": to_bytes(torch.cat([make(kept) for make in made]))}

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Lay a random reflection over every image."""
        images, reflections = check(inputs), state["reflections"]
        if images.shape[1:] != reflections.shape[1:]:
            raise MethodError(
                f"the reflections were learnt from images of {list(reflections.shape[1:])} and "
                f"cannot lie over images of {list(images.shape[1:])}; learn from such images"
            )
        drawn = torch.from_numpy(rng.integers(len(reflections), size=len(images)))

        def blend(batch: torch.Tensor, rows: slice) -> torch.Tensor:
            return batch + self.alpha * (reflections[drawn[rows]].float() - batch)

        return change_in_floats(images, blend)


def ghosts(pictures: torch.Tensor) -> torch.Tensor:
    """Give the mean of pictures float32[l, k, h, w] and themselves moved down and to the right."""
    down, right = (max(1, round(side / 12)) for side in pictures.shape[2:])
    moved = F.pad(pictures, (right, 0, down, 0), mode="replicate")
    return (pictures + moved[:, :, : pictures.shape[2], : pictures.shape[3]]) / 2


def blurs(pictures: torch.Tensor) -> torch.Tensor:
    """Give pictures float32[l, k, h, w] out of focus; beyond the edge the edge goes on."""
    channels, deviation = pictures.shape[1], max(0.5, min(pictures.shape[2:]) / 16)
    reach = math.ceil(3 * deviation)
    bell = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * deviation**2))
    line = (bell / bell.sum()).expand(channels, 1, 1, -1)
    wide = F.pad(pictures, [reach] * 4, mode="replicate")
    across = F.conv2d(wide, line, groups=channels)
    return F.conv2d(across, line.transpose(2, 3), groups=channels)
