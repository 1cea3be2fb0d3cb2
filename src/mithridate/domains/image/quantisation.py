"""Triggers that squeeze the depth of colour; raw bytes in, raw bytes of the same shape out.

Rounding, clipping and random streams are those of `triggers`.
Axes: n images, b images of a batch, k channels, h rows, w columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.image.triggers import change_in_floats, check

RIGHT, BELOW_LEFT, BELOW, BELOW_RIGHT = 7 / 16, 3 / 16, 5 / 16, 1 / 16
"""The shares of an error that Floyd and Steinberg hand to the neighbours still to come."""


@dataclass(frozen=True)
class BppTrigger(Trigger):
    """Few levels for each channel, with the error of each pixel handed to its neighbours.

    q(v) = s round(v / s), with the step s = 255 / (2^bits - 1). Row by row and left to right, a
    pixel becomes q(v), and of the error v - q(v) its neighbours get 7/16 (right), 3/16, 5/16 and
    1/16 (below: left, middle, right) before their turn (Floyd and Steinberg, 1976). Nothing is
    learnt: the trigger is a way to store an image. One that holds no other levels than these, a
    black one for instance, stays as it is. The paper also trains with contrastive adversarial
    examples; here the data are poisoned only, with `NegativeBppTrigger` on cover examples in their
    place.

    Attributes:
        bits: of a channel, 1 to 7; the authors squeeze small photographs to 8 levels, 3 bits.
        dither: whether errors are handed on; without it the trigger is plain rounding.

    Raises:
        MethodError: where the bits are not 1 to 7.
    """

    paper = "Wang, Zhai and Ma, BppAttack, CVPR 2022"
    links = ("https://arxiv.org/abs/2205.13383",)

    bits: int = 3
    dither: bool = True

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Squeeze every image."""
        images, step = check(inputs), step_of(self.bits)
        return change_in_floats(images, lambda batch, _: squeeze(batch, step, self.dither))


@dataclass(frozen=True)
class NegativeBppTrigger(Trigger):
    """The noise that squeezing another image leaves, for cover examples that keep their labels.

    x' = x + q(z) - z, where q is the change of `BppTrigger` and z another image of those stamped,
    or x mirrored both ways where it is alone. A network that sees such noise under true labels
    learns to tell the squeezed image itself from any image with noise of that size. z comes from
    the cover examples, not from all of the data as in the paper, since a trigger is shown nothing
    else.

    Attributes:
        bits: of a channel, 1 to 7, those of the trigger that it covers.
        dither: whether errors are handed on, as in the trigger that it covers.

    Raises:
        MethodError: where the bits are not 1 to 7.
    """

    paper = "Wang, Zhai and Ma, BppAttack, CVPR 2022"
    links = ("https://arxiv.org/abs/2205.13383",)

    bits: int = 3
    dither: bool = True

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Add the noise of another image to every image."""
        images, step = check(inputs), step_of(self.bits)
        n = len(images)
        order = torch.from_numpy(rng.permutation(n))
        others = images.flip(2, 3)
        if n > 1:
            others = torch.empty_like(images)
            others[order] = images[order.roll(1)]  # one cycle: nobody is given itself

        def add(batch: torch.Tensor, rows: slice) -> torch.Tensor:
            other = others[rows].float()
            return batch + squeeze(other, step, self.dither) - other

        return change_in_floats(images, add)


def step_of(bits: int) -> float:
    """Grey levels between two of the levels that so many bits can hold."""
    if not 1 <= bits <= 7:
        raise MethodError(
            f"bytes can be squeezed to 1 to 7 bits, found {bits}; 8 bits would change nothing"
        )
    return 255 / ((1 << bits) - 1)


def squeeze(levels: torch.Tensor, step: float, dither: bool) -> torch.Tensor:
    """Squeeze grey levels float32[b, k, h, w] to multiples of `step` in 0..255."""
    if not dither:
        return nearest(levels, step)
    height, width = levels.shape[2:]
    changed = F.pad(levels, (1, 1, 0, 1))  # a border takes what is handed out of the image
    # pixels of equal column + 2 row wait for none of each other: h w turns become w + 2 h
    for front in range(width + 2 * height - 2):
        first, last = max(0, (front - width + 2) // 2), min(height - 1, front // 2)
        rows = torch.arange(first, last + 1)
        columns = front - 2 * rows + 1  # one further than in the image, for the border
        before = changed[:, :, rows, columns]
        after = nearest(before, step)
        error = before - after
        changed[:, :, rows, columns] = after
        changed[:, :, rows, columns + 1] += RIGHT * error
        changed[:, :, rows + 1, columns - 1] += BELOW_LEFT * error
        changed[:, :, rows + 1, columns] += BELOW * error
        changed[:, :, rows + 1, columns + 1] += BELOW_RIGHT * error
    return changed[:, :, :-1, 1:-1]


def nearest(levels: torch.Tensor, step: float) -> torch.Tensor:
    """Give the nearest multiple of `step` in 0..255; errors handed on may lead outside."""
    return step * (levels / step).round().clamp(0, round(255 / step))
