"""Columns of bytes and texts as a file holds them: repeated values stay references."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def plain(kind: pa.DataType) -> pa.DataType:
    """The type of the values, where repeated values may be references."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Whether a type is bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def holds_images(kind: pa.DataType) -> bool:
    """Whether a type is bytes or struct {bytes, ...}."""
    if pa.types.is_struct(kind):
        at = kind.get_field_index("bytes")
        return at >= 0 and is_binary(plain(kind.field(at).type))
    return is_binary(plain(kind))


def weights(batch: pa.RecordBatch) -> int:
    """How many bytes the values of all columns take when written out."""
    return sum(weight(column) for column in batch.columns)


def weight(column: pa.Array) -> int:
    """How many bytes the values of a column take when written out."""
    kind = column.type
    if pa.types.is_struct(kind):
        return sum(weight(column.field(i)) for i in range(kind.num_fields))
    if pa.types.is_dictionary(kind):
        if not (is_text(kind.value_type) or is_binary(kind.value_type)):
            return int(column.nbytes)
        lengths = pc.take(pc.binary_length(_bytes(column.dictionary)), column.indices)
        return int(pc.sum(pc.cast(lengths, pa.int64())).as_py() or 0)
    return int(column.nbytes)


def _bytes(column: pa.Array) -> pa.Array:
    """See texts as bytes, so that what is no UTF-8 is found row by row."""
    if pa.types.is_large_string(column.type):
        return column.cast(pa.large_binary())
    return column.cast(pa.binary()) if pa.types.is_string(column.type) else column


def unfold(column: pa.Array) -> list[Any]:
    """Give the values as Python objects, texts as bytes; repeated values are one object."""
    if pa.types.is_dictionary(column.type):
        # Only what is used: one dictionary may serve many small batches
        used = column.indices.unique().drop_null()
        values = _bytes(column.dictionary.take(used)).to_pylist()
        place = dict(zip(used.to_pylist(), values, strict=True))
        return [place.get(index) for index in column.indices.to_pylist()]
    values = _bytes(column).to_pylist()
    return list(values)
