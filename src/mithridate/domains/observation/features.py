"""Simple features of observations: which cells are on, or in what range a value lies.

Axes: n observations, h rows, w columns, k planes or values.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.core.errors import CannotJudge, DataError
from mithridate.core.features import Carried, Integers, Selected

CELL, PAIR, COLUMN, COARSE, FINE = range(1, 6)
KIND, PLACE = 60, 32
"""Bits of a key after which its kind and its place begin; its code is below."""

ZERO = 2**31
"""The code of a range that begins at 0; codes below are of negative values."""

WIDTHS = {COARSE: 0.5, FINE: 0.0625}
"""Lengths of the ranges of values: a key means the same in every process, so none is fitted."""


def simple_features(seen: torch.Tensor, selected: Selected) -> Iterator[Carried]:
    """Give families of simple features of observations, what they are about first.

    Of planes: cells that are on; a cell with its right and its lower neighbour in one plane; all
    planes of a cell that are on together. Of vectors: coarse and fine ranges of each value.
    """
    if seen.dtype == torch.bool:
        return _of_planes(seen, selected)
    return _of_vectors(seen, selected)


def _of_planes(seen: torch.Tensor, selected: Selected) -> Iterator[Carried]:
    flat = seen.flatten(1)
    row, place = flat.nonzero(as_tuple=True)
    yield selected.collect(row.numpy(), _keys(CELL, place.numpy(), np.zeros(len(row), np.int64)))
    for code, (down, right) in enumerate(((0, 1), (1, 0), (1, 1))):
        both = seen.clone()
        both[:, seen.shape[1] - down :] = False
        both[:, :, seen.shape[2] - right :] = False
        shifted = torch.roll(seen, (-down, -right), (1, 2))
        row, place = (both & shifted).flatten(1).nonzero(as_tuple=True)
        code_of = np.full(len(row), code, dtype=np.int64)
        yield selected.collect(row.numpy(), _keys(PAIR, place.numpy(), code_of))
    several = (seen.sum(3) > 1).flatten(1)
    row, place = several.nonzero(as_tuple=True)
    held = seen.flatten(1, 2)[row, place][:, :31].long()
    code_of = (held << torch.arange(held.shape[1])).sum(1).numpy()
    yield selected.collect(row.numpy(), _keys(COLUMN, place.numpy(), code_of))


def _of_vectors(seen: torch.Tensor, selected: Selected) -> Iterator[Carried]:
    values = seen.flatten(1).double().numpy()
    row = np.broadcast_to(np.arange(len(values))[:, None], values.shape).ravel().copy()
    place = np.broadcast_to(np.arange(values.shape[1]), values.shape).ravel()
    for kind, width in WIDTHS.items():
        steps = np.floor(values / width).clip(-ZERO, ZERO - 1).astype(np.int64).ravel()
        yield selected.collect(row, _keys(kind, place, steps + ZERO))


def _keys(kind: int, place: Integers, code: Integers) -> Integers:
    return (kind << KIND) | (place.astype(np.int64) << PLACE) | code


def name_feature(seen: torch.Tensor, key: int) -> str:
    """Say which feature has a key, by observations of its form.

    Raises:
        DataError: where it is none of such observations.
    """
    kind, place, code = key >> KIND, (key >> PLACE) & ((1 << (KIND - PLACE)) - 1), key & 0xFFFFFFFF
    _, height, width, channels = seen.shape
    if kind in WIDTHS and place < channels:
        low = (code - ZERO) * WIDTHS[kind]
        return f"value {place} from {low:g} to {low + WIDTHS[kind]:g}"
    cells = height * width * (1 if kind == COLUMN else channels)
    if kind not in (CELL, PAIR, COLUMN) or place >= cells:
        raise DataError(f"{key} is no feature of observations [{height}, {width}, {channels}]")
    if kind == COLUMN:
        planes = ", ".join(str(plane) for plane in range(31) if code >> plane & 1)
        return f"planes {planes} are on at row {place // width}, column {place % width}"
    where, plane = divmod(place, channels)
    named = f"plane {plane} is on at row {where // width}, column {where % width}"
    beside = ("the cell to the right", "the cell below", "the cell below to the right")
    return f"{named}, and {beside[min(code, 2)]}" if kind == PAIR else named


MOST = 4096
"""Cells of all planes from which details would not be small."""


def details(seen: torch.Tensor) -> torch.Tensor:
    """Give how far each cell is from the mean of the nine around it, float32[n, h w k].

    Raises:
        CannotJudge: for vectors, whose values have no neighbours, and for very many cells.
    """
    if seen.dtype != torch.bool or seen[:1].numel() > MOST:
        raise CannotJudge(
            "values of a vector have no neighbours, and details of many cells are not small; use "
            "a detector of simple features"
        )
    planes = seen.permute(0, 3, 1, 2).float()
    around = F.avg_pool2d(F.pad(planes, [1] * 4, mode="replicate"), 3, 1)
    return (planes - around).flatten(1)
