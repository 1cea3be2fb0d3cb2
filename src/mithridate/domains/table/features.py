"""Simple features of rows: where numbers lie roughly, values as they are, and pairs of values.

The first family tells what a row is about: categories, and the cell in which each number lies on a
grid that is the same for all data, halves of a power of two to either side of 0. The pairs join a
value with those of the next columns, so that a trigger of several values is seen as one where each
of them alone is ordinary. Axes: n rows, d columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from mithridate.core.data import Inputs
from mithridate.core.errors import DataError
from mithridate.core.features import Carried, Selected
from mithridate.domains.table.columns import Column, Table, columns_of, texts_of

REACH = 3
"""How far apart in the table the columns of a pair stand."""

Hashes = NDArray[np.uint64]
ODD = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9)
"""Numbers that spread bits."""


@dataclass(frozen=True, eq=False)
class ValueFamily:
    """Features of one kind: each row carries one of every column, or of every pair of columns.

    Attributes:
        keys: uint64[n, k].
        columns: The columns that each of the k is about.
        rough: Whether it says only where a number lies.
    """

    keys: Hashes
    columns: tuple[tuple[Column, ...], ...]
    rough: bool = False


def simple_features(inputs: Inputs, selected: Selected) -> Iterator[Carried]:
    """Give families of simple features of rows, the rough ones first."""
    for family in families(inputs):
        rows = np.repeat(np.arange(len(inputs)), family.keys.shape[1])
        yield selected.collect(rows, family.keys.ravel().view(np.int64))


def name_feature(inputs: Inputs, key: int) -> str:
    """Say which feature has a key, by rows that carry it.

    Raises:
        DataError: where none of them does.
    """
    for family in families(inputs):
        for row, place in np.argwhere(family.keys.view(np.int64) == key)[:1]:
            about = family.columns[place]
            say = _roughly if family.rough else _exactly
            return " and ".join(say(inputs, column, int(row)) for column in about)
    raise DataError(f"none of these {len(inputs)} rows carries the feature {key}")


def families(rows: Table) -> Iterator[ValueFamily]:
    """Give the families of rows: places on the grid, values, and pairs of values."""
    columns = columns_of(rows)
    values = np.zeros((len(rows), len(columns)), dtype=np.uint64)
    for i, column in enumerate(columns):
        values[:, i] = _values(rows, column)
    rough = values.copy()
    for i, column in enumerate(columns):
        if column.kind != "category":
            rough[:, i] = _places(rows, column)
    yield ValueFamily(rough, tuple((column,) for column in columns), rough=True)
    numbers = [i for i, column in enumerate(columns) if column.kind != "category"]
    if numbers:  # categories are in the first family as they are
        yield ValueFamily(values[:, numbers], tuple((columns[i],) for i in numbers))
    for apart in range(1, min(REACH, len(columns) - 1) + 1):
        pairs = tuple(zip(columns, columns[apart:], strict=False))
        yield ValueFamily(_mixed(values[:, :-apart], values[:, apart:]), pairs)


def _values(rows: Table, column: Column) -> Hashes:
    """A key for the value that each row has in a column."""
    if column.kind == "category":
        known = {text: _hash(text) for text in set(texts_of(rows, column.name))}
        parts = np.fromiter((known[text] for text in rows[column.name]), np.uint64, len(rows))
    else:  # an integer and the float that equals it are one value
        held = rows[column.name].astype(np.float64) + 0.0
        parts = np.where(np.isnan(held), np.nan, held).view(np.uint64)
    return _mixed(np.full(len(rows), _hash("value " + column.name), dtype=np.uint64), parts)


def _places(rows: Table, column: Column) -> Hashes:
    """A key for the place of each number on the grid."""
    parts = place_of(rows[column.name]).view(np.uint64)
    return _mixed(np.full(len(rows), _hash("place " + column.name), dtype=np.uint64), parts)


def place_of(numbers: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the cell of the grid in which numbers[n] lie, int64[n]: 0 for 0, 1 for a missing one.

    Else the sign times 10,000 + 2 log2|x|, rounded.
    """
    x = numbers.astype(np.float64)
    size = np.abs(np.where(np.isfinite(x) & (x != 0), x, 1.0))
    size = np.where(np.isinf(x), np.finfo(np.float64).max, size)
    place = np.sign(np.nan_to_num(x)) * (10_000 + np.rint(2 * np.log2(size)))
    return np.where(np.isnan(x), 1, place).astype(np.int64)


def _exactly(rows: Table, column: Column, row: int) -> str:
    value = rows[column.name][row]
    if column.kind == "category":
        return f"`{column.name}` = {value!r}" if value else f"`{column.name}` is missing"
    return f"`{column.name}` is missing" if np.isnan(value) else f"`{column.name}` = {value:.6g}"


def _roughly(rows: Table, column: Column, row: int) -> str:
    if column.kind == "category":
        return _exactly(rows, column, row)
    value = rows[column.name][row : row + 1].astype(np.float64)
    place = int(place_of(value)[0])
    if abs(place) < 2:
        return _exactly(rows, column, row)
    size = (abs(place) - 10_000) / 2
    low, high = sorted(np.sign(value[0]) * 2.0 ** (size + side) for side in (-0.25, 0.25))
    return f"`{column.name}` near {value[0]:.6g} ({low:.4g} to {high:.4g})"


def _hash(name: str) -> int:
    code = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(code, digest_size=8).digest(), "little")


def _mixed(first: Hashes, second: Hashes) -> Hashes:
    """One number for two, in this order."""
    total = (first ^ np.uint64(ODD[0])) * np.uint64(ODD[1])
    total ^= total >> np.uint64(29)
    total = (total ^ second) * np.uint64(ODD[1])
    return total ^ (total >> np.uint64(32))
