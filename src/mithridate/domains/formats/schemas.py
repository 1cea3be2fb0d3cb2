"""One schema for all shards of a data set, whose writers need not agree on the width of a type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa

from mithridate.core.errors import DataError
from mithridate.domains.formats.cells import holds_images, is_binary, is_text, plain
from mithridate.domains.formats.columns import name_columns, unique


class Shard(Protocol):
    """One file of columns."""

    name: str
    schema: pa.Schema
    rows: int

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Read some columns piece by piece."""


def _check_columns(shard: Shard, first: Shard) -> None:
    """Raise DataError where a shard has other columns than the first."""
    here, there = shard.schema.names, first.schema.names
    if sorted(here) != sorted(there):
        raise DataError(
            f"{shard.name!r}: expected the columns of {first.name!r} ({name_columns(there)}), "
            f"found others ({name_columns(here)})"
        )


def merged(shards: Sequence[Shard]) -> pa.Schema:
    """Give the columns of the first shard, each in a type that holds those of all.

    Raises:
        DataError: A shard has other columns, or a column holds another kind of value in it.
    """
    first = shards[0]
    unique(first.schema.names, first.name)
    fields = list(first.schema)
    for shard in shards[1:]:
        _check_columns(shard, first)
        for at, field in enumerate(fields):
            here = shard.schema.field(field.name).type
            kind = wider(field.type, here)
            if kind is None:
                raise DataError(
                    f"{shard.name!r}: expected column {field.name!r} to hold {field.type} as in "
                    f"{first.name!r}, found {here}; write it as the same type in all files"
                )
            fields[at] = field.with_type(kind)
    return pa.schema(fields, metadata=first.schema.metadata)


def wider(one: pa.DataType, two: pa.DataType) -> pa.DataType | None:
    """Give a type that holds the values of both, None where they are of different kinds."""
    if one == two or pa.types.is_null(two):
        return one
    if pa.types.is_null(one):
        return two
    if pa.types.is_nested(one) and pa.types.is_nested(two):
        same = holds_images(one) == holds_images(two) and one.id == two.id
        return one if same else None
    left, right = plain(one), plain(two)
    if is_text(left) and is_text(right):
        return pa.large_string()
    if is_binary(left) and is_binary(right):
        return pa.large_binary()
    return _wider_number(left, right)


def _wider_number(one: pa.DataType, two: pa.DataType) -> pa.DataType | None:
    if pa.types.is_integer(one) and pa.types.is_integer(two):
        unsigned = pa.types.is_unsigned_integer
        return pa.uint64() if unsigned(one) and unsigned(two) else pa.int64()
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in (one, two)):
        return pa.float64()  # of whole numbers with gaps, pandas makes floats
    return one if one == two else None
