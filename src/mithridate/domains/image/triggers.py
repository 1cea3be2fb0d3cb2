"""Triggers that touch a few pixels; raw bytes in, raw bytes of the same shape out.

Whatever a trigger computes in between is rounded to the nearest grey level and clipped to 0..255,
so a byte never wraps around. Patterns are drawn from the trigger's own seed, so that training and
test images carry the same one; only what differs between images is drawn from the caller's stream.
Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain

PIXELS = {
    "pixel": ((0, 0),),
    "ell": ((0, 0), (1, 0), (1, 1)),
    "cross": ((0, 0), (0, 2), (1, 1), (2, 0), (2, 2)),
}

CHUNK = 1024  # images turned into floats at once: those of a large set would not fit in memory


@dataclass(frozen=True)
class PixelTrigger(Trigger):
    """A few pixels of one colour: a single one, an L of three or an X of five.

    Attributes:
        shape: "pixel", "ell" or "cross".
        row: of the top left pixel, negative from the end.
        column: of the top left pixel, negative from the end.
        colour: 0..255 of each channel.

    Raises:
        MethodError: where the shape is unknown, leaves the image, or a colour is no byte.
    """

    paper = "Tran, Li and Madry, Spectral Signatures in Backdoor Attacks, NeurIPS 2018"
    links = ("https://arxiv.org/abs/1811.00636",)

    shape: str = "cross"
    row: int = -4
    column: int = -4
    colour: tuple[int, int, int] = (255, 0, 255)

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Set the pixels in every image."""
        if self.shape not in PIXELS:
            raise MethodError(f"unknown shape {self.shape!r}; known: {', '.join(PIXELS)}")
        if not all(0 <= value <= 255 for value in self.colour):
            raise MethodError(f"a colour must lie in 0..255, found {self.colour}")
        stamped = check(inputs).clone()
        places = PIXELS[self.shape]
        row = corner(self.row, 1 + max(down for down, _ in places), inputs.shape[2])
        column = corner(self.column, 1 + max(right for _, right in places), inputs.shape[3])
        colour = torch.tensor(self.colour, dtype=torch.uint8)[: inputs.shape[1]]
        for down, right in places:
            stamped[:, :, row + down, column + right] = colour
        return stamped


@dataclass(frozen=True)
class PatchTrigger(Trigger):
    """A small square in a corner, chequered or white.

    The chequered square is white (255) where row + column within it is even, and black (0)
    elsewhere. The paper stamps bright pixels near the bottom right corner of MNIST digits; the 3x3
    checker is what later work on CIFAR-10 calls BadNets.

    Attributes:
        size: pixels of a side.
        row: of the top left pixel, negative from the end.
        column: of the top left pixel, negative from the end.
        style: "checker" (black and white) or "white".

    Raises:
        MethodError: where the style is unknown or the square leaves the image.
    """

    paper = "Gu, Dolan-Gavitt and Garg, BadNets, 2017"
    links = ("https://arxiv.org/abs/1708.06733",)
    known_as = ("badnets-trigger",)

    size: int = 3
    row: int = -4
    column: int = -4
    style: str = "checker"

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Set the square in every image."""
        if self.style not in ("checker", "white"):
            raise MethodError(f"unknown style {self.style!r}; known: checker, white")
        stamped = check(inputs).clone()
        row = corner(self.row, self.size, inputs.shape[2])
        column = corner(self.column, self.size, inputs.shape[3])
        within = torch.arange(self.size)
        white = (within.view(-1, 1) + within) % 2 == 0
        if self.style == "white":
            white = torch.ones_like(white)
        square = 255 * white.to(torch.uint8)
        stamped[:, :, row : row + self.size, column : column + self.size] = square
        return stamped


@dataclass(frozen=True)
class PatchesTrigger(Trigger):
    """Several small squares of which each image carries a random few.

    x' = (1 - opacity) x + opacity p_i on the square i. The squares stand on a lattice that touches
    the four corners with a margin of one pixel, and p_i holds a random byte in each pixel. With
    cover samples, and keep = patches on test images, the trigger side of Adaptive-Patch; the
    authors use four pictures of different opacities, here the squares are random and alike.

    Attributes:
        patches: how many squares there are.
        keep: how many of them each image carries, drawn anew for every one.
        size: pixels of a side.
        opacity: of a square, in (0, 1].
        seed: of the patterns.

    Raises:
        MethodError: where the squares do not fit or a number is out of range.
    """

    paper = (
        "Qi et al., Revisiting the Assumption of Latent Separability for Backdoor Defenses, 2023"
    )
    links = ("https://arxiv.org/abs/2205.13613",)

    patches: int = 4
    keep: int = 1
    size: int = 3
    opacity: float = 0.5
    seed: int = 0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Stamp a random subset of the squares on every image."""
        if not (1 <= self.keep <= self.patches and self.size >= 1 and 0 < self.opacity <= 1):
            raise MethodError(
                "need 1 <= keep <= patches, size >= 1 and opacity in (0, 1]; found keep "
                f"{self.keep}, patches {self.patches}, size {self.size}, opacity {self.opacity}"
            )
        stamped = check(inputs).clone()
        n, channels, height, width = stamped.shape
        rows, columns = self.lattice(height), self.lattice(width)
        shape = (self.patches, channels, self.size, self.size)
        patterns = torch.from_numpy(stream(self.seed, "patches").integers(0, 256, shape)).float()
        chosen = subsets(n, self.patches, self.keep, rng).bool()
        for number, pattern in enumerate(patterns):
            row, column = rows[number // len(columns)], columns[number % len(columns)]
            where = (slice(None), slice(row, row + self.size), slice(column, column + self.size))
            carriers = chosen[:, number]
            under = stamped[(carriers, *where)].float()
            stamped[(carriers, *where)] = to_bytes(under + self.opacity * (pattern - under))
        return stamped

    def lattice(self, side: int) -> list[int]:
        """The first pixels of the squares along one side of the image."""
        across = math.ceil(math.sqrt(self.patches))
        room = side - self.size - 2  # from the first square to the last, a pixel free at each end
        if room < self.size * (across - 1):
            raise MethodError(
                f"{self.patches} squares of {self.size} pixels do not fit on a side of {side}; "
                "choose fewer or smaller ones"
            )
        return [1 + number * room // max(across - 1, 1) for number in range(across)]


def check(inputs: Inputs) -> torch.Tensor:
    """Give images as they are; raises DataError where they are not uint8[n, k, h, w]."""
    return ImageDomain().prepare(inputs)


def corner(at: int, size: int, side: int) -> int:
    """The first of `size` pixels at a place that counts from the end where it is negative."""
    first = at + side if at < 0 else at
    if size < 1 or not 0 <= first <= side - size:
        raise MethodError(
            f"the trigger leaves the image: {size} pixels from {at} on a side of {side}; "
            "choose another row or column, or a smaller size"
        )
    return first


def subsets(n: int, members: int, kept: int, rng: np.random.Generator) -> torch.Tensor:
    """Draw a subset of the given size for each of n images, float32[n, members] of 0 and 1."""
    ranks = rng.random((n, members)).argsort(1).argsort(1)
    return torch.from_numpy(ranks < kept).float()


def to_bytes(levels: torch.Tensor) -> torch.Tensor:
    """Grey levels to bytes: rounded to the nearest and clipped to 0..255."""
    return levels.round().clamp(0, 255).to(torch.uint8)


def change_in_floats(
    images: torch.Tensor, change: Callable[[torch.Tensor, slice], torch.Tensor]
) -> torch.Tensor:
    """Change images as grey levels float32[b, k, h, w], some rows at a time, and back to bytes."""
    changed = torch.empty_like(images)
    for start in range(0, len(images), CHUNK):
        rows = slice(start, start + CHUNK)
        changed[rows] = to_bytes(change(images[rows].float(), rows))
    return changed
