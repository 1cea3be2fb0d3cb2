"""Simple features of images: what stands out at a place, by its colour, its neighbours, its shape.

Most of an image is like what lies near it; a pixel stands out where some channel is far from the
middle of the four pixels `REACH` away. Everything else is no feature, so that there are few.
Axes: n images, k channels, h rows, w columns, b rows of a band, p pixels that stand out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.core.errors import DataError
from mithridate.core.features import Carried, Integers, Selected

CELLS, SHADES = 8, 4
"""What an image is about: mean grey in a grid of cells, in so many levels."""

REACH = 3
"""Pixels to each side from where a pixel is looked at: beyond a patch of three."""

APART = 40
"""Grey levels beyond which a pixel stands out."""

STEP = 32
"""Grey levels of a coarse colour."""

BAND = 8_000_000
"""Pixels of all images that are looked at together."""

CELL, EXACT, COARSE, SHAPE = range(1, 5)
KIND, PLACE = 60, 32
"""Bits of a key after which its kind and its place begin; its code is below."""


SIDE, FARTHEST = 32, 24.0
"""Pixels of a side to which details are reduced, and grey levels beyond which they are cut."""


class Marked(NamedTuple):
    """Pixels that stand out.

    Attributes:
        image: int64[p].
        place: int64[p], row * w + column.
        colour: int64[k, p], of each.
        shape: int64[p], which of the nine pixels around each are brighter or darker than what lies
            further away, in base 3.
    """

    image: Integers
    place: Integers
    colour: Integers
    shape: Integers


def simple_features(images: torch.Tensor, selected: Selected) -> Iterator[Carried]:
    """Give families of simple features of images uint8[n, k, h, w], the grey of cells first."""
    yield selected.collect(*_cells(images))
    height = images.shape[2]
    rows = max(1, BAND // max(1, len(images) * images.shape[3]))
    for first in range(0, height, rows):
        marked = _standing_out(images, first, min(height, first + rows))
        exact, coarse = np.zeros((2, len(marked.image)), dtype=np.int64)
        for channel in marked.colour:
            exact = exact * 256 + channel
            coarse = coarse * (256 // STEP) + channel // STEP
        for kind, code in ((EXACT, exact), (COARSE, coarse), (SHAPE, marked.shape)):
            yield selected.collect(marked.image, _keys(kind, marked.place, code))


def _keys(kind: int, place: Integers, code: Integers) -> Integers:
    return (kind << KIND) | (place << PLACE) | code


def _cells(images: torch.Tensor) -> tuple[Integers, Integers]:
    """Rows and keys of the mean grey of cells, darkest to brightest."""
    side = (min(CELLS, images.shape[2]), min(CELLS, images.shape[3]))
    parts = [F.adaptive_avg_pool2d(part.float().mean(1), side) for part in images.split(1024)]
    grey = torch.cat(parts or [torch.zeros(0, *side)]).flatten(1)
    shade = (grey * (SHADES / 256)).long().clamp_max(SHADES - 1).numpy()
    place = np.broadcast_to(np.arange(shade.shape[1]), shade.shape)
    row = np.broadcast_to(np.arange(len(shade))[:, None], shade.shape)
    return row.ravel().copy(), _keys(CELL, place, shade).ravel()


def _signs_around(
    sign: torch.Tensor, image: torch.Tensor, row: torch.Tensor, column: torch.Tensor
) -> torch.Tensor:
    """Write the nine signs at and around each of some pixels as one number to base 3."""
    shape = torch.zeros(len(image), dtype=torch.int64)
    for down in range(3):
        for right in range(3):
            shape = 3 * shape + sign[image, row + down, column + right]
    return shape


def _standing_out(images: torch.Tensor, first: int, last: int) -> Marked:
    """Find the pixels of some rows that stand out."""
    n, channels, height, width = images.shape
    parts = []
    for start in range(0, n, 2048):
        block = images[start : start + 2048]
        rows = torch.arange(first - REACH - 1, last + REACH + 1).clamp(0, height - 1)
        columns = torch.arange(-REACH - 1, width + REACH + 1).clamp(0, width - 1)
        around = block[:, :, rows][..., columns].short()
        middle = _middle(around)
        inside = around[..., REACH:-REACH, REACH:-REACH]
        apart = inside - middle
        own = apart[..., 1:-1, 1:-1]
        image, row, column = (own.abs().amax(1) > APART).nonzero(as_tuple=True)
        level = apart.gather(1, apart.abs().argmax(1, keepdim=True))[:, 0]
        sign = 1 + (level > APART).long() - (level < -APART).long()
        shape = _signs_around(sign, image, row, column)
        colour = inside[..., 1:-1, 1:-1].permute(1, 0, 2, 3)[:, image, row, column]
        parts.append((image + start, (row + first) * width + column, colour.long(), shape))
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return Marked(empty, empty, np.zeros((channels, 0), dtype=np.int64), empty)
    return Marked(*(torch.cat(part, -1).numpy() for part in zip(*parts, strict=True)))


def _middle(around: torch.Tensor) -> torch.Tensor:
    """The median of the four pixels `REACH` away, of all that have them."""
    up, down = around[..., : -2 * REACH, REACH:-REACH], around[..., 2 * REACH :, REACH:-REACH]
    left, right = around[..., REACH:-REACH, : -2 * REACH], around[..., REACH:-REACH, 2 * REACH :]
    low = torch.maximum(torch.minimum(up, down), torch.minimum(left, right))
    high = torch.minimum(torch.maximum(up, down), torch.maximum(left, right))
    return (low + high) // 2


def details(images: torch.Tensor) -> torch.Tensor:
    """How far each pixel is from the mean of the nine around it, all channels together.

    In shares of `FARTHEST`, at most 1 to either side, float32[n, d]; images of more than `SIDE`
    pixels to a side are made smaller first.
    """
    side = (min(SIDE, images.shape[2]), min(SIDE, images.shape[3]))
    parts = [torch.zeros(0, side[0] * side[1])]
    for block in images.split(1024):
        grey = block.float()
        if tuple(grey.shape[2:]) != side:
            grey = F.adaptive_avg_pool2d(grey, side)
        around = F.avg_pool2d(F.pad(grey, [1] * 4, mode="replicate"), 3, 1)
        apart = (grey - around).clamp(-FARTHEST, FARTHEST) / FARTHEST
        parts.append(apart.mean(1).flatten(1))
    return torch.cat(parts)


def name_feature(images: torch.Tensor, key: int) -> str:
    """Say which feature has a key, by images that carry it.

    Raises:
        DataError: where it is none of images of this size.
    """
    kind, place, code = key >> KIND, (key >> PLACE) & ((1 << (KIND - PLACE)) - 1), key & 0xFFFFFFFF
    _, channels, height, width = images.shape
    if kind == CELL and place < CELLS * CELLS:
        return f"grey level {code + 1} of {SHADES} in cell {place + 1}"
    if kind not in (EXACT, COARSE, SHAPE) or place >= height * width:
        raise DataError(f"{key} is no feature of images of {height} x {width} pixels")
    where = f"at row {place // width}, column {place % width}"
    if kind == SHAPE:
        signs = [".+-"[(code // 3**i + 2) % 3] for i in reversed(range(9))]
        lines = "/".join("".join(signs[row : row + 3]) for row in (0, 3, 6))
        return f"a mark {where}: {lines} (+ brighter, - darker than what lies around)"
    levels, step = (256, 1) if kind == EXACT else (256 // STEP, STEP)
    digits = [code // levels**i % levels for i in reversed(range(channels))]
    named = ", ".join(
        str(d) if step == 1 else f"{d * step} to {d * step + step - 1}" for d in digits
    )
    return f"a pixel {where} that stands out with the value {named}"
