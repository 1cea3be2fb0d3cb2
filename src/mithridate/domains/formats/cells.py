"""Columns of bytes and texts as a file holds them: repeated values stay references.

A value may be repeated by a dictionary or by views into shared bytes, so that a few bytes stand for
terabytes. What a column takes when it is written out is therefore known before it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def plain(kind: pa.DataType) -> pa.DataType:
    """The type of the values, where repeated values may be references."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind)) or _is_a(
        "string_view", kind
    )


def is_binary(kind: pa.DataType) -> bool:
    """Whether a type is bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind)) or _is_a(
        "binary_view", kind
    )


def is_view(kind: pa.DataType) -> bool:
    """Whether the values of a type point into shared bytes."""
    return _is_a("string_view", kind) or _is_a("binary_view", kind)


def _is_a(name: str, kind: pa.DataType) -> bool:
    check = getattr(pa.types, f"is_{name}", None)  # views came with pyarrow 16
    return check is not None and bool(check(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a type is a number."""
    checks: Any = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
    return any(check(kind) for check in checks)


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
    if is_view(kind):
        return 8 * len(column) + int(_lengths(column).sum())
    if pa.types.is_dictionary(kind):
        if not (is_text(kind.value_type) or is_binary(kind.value_type)):
            return int(column.nbytes)
        lengths = pc.take(pa.array(_lengths(column.dictionary)), column.indices)
        return int(pc.sum(lengths).as_py() or 0)
    return int(column.nbytes)


def _lengths(column: pa.Array) -> np.ndarray[Any, Any]:
    """How many bytes each text takes, int64[n]; 0 where there is none."""
    if not is_view(column.type):
        lengths = pc.fill_null(pc.binary_length(as_bytes(column)), 0)
        return np.asarray(lengths.cast(pa.int64()).to_numpy(zero_copy_only=False))
    # A view is 16 bytes, of which the first four are its length
    views = np.frombuffer(column.buffers()[1], np.int32)[::4]
    own = views[column.offset : column.offset + len(column)].astype(np.int64)
    there = column.is_valid().to_numpy(zero_copy_only=False)
    return np.where(there, own, 0)


def as_bytes(column: pa.Array) -> pa.Array:
    """See texts as bytes, so that what is no UTF-8 is found row by row."""
    if _is_a("string_view", column.type):
        return column.view(pa.binary_view())
    if pa.types.is_large_string(column.type):
        return column.cast(pa.large_binary())
    return column.cast(pa.binary()) if pa.types.is_string(column.type) else column


def unfold(column: pa.Array) -> list[Any]:
    """Give the values as Python objects, texts as bytes; repeated values are one object."""
    if pa.types.is_dictionary(column.type):
        used, values = _used(column)
        place = dict(zip(used.to_pylist(), values, strict=True))
        return [place.get(index) for index in column.indices.to_pylist()]
    return list(as_bytes(column).to_pylist())


def _used(column: pa.Array) -> tuple[pa.Array, list[Any]]:
    """Give the indices that a column of references uses, and the values that they stand for."""
    # Only what is used: one dictionary may serve many small batches
    used = column.indices.unique().drop_null()
    known = as_bytes(column.dictionary)
    if is_view(known.type):  # no kernel takes from views
        return used, [known[at].as_py() for at in used.to_pylist()]
    return used, known.take(used).to_pylist()


def without_views(column: pa.Array) -> pa.Array:
    """Write out texts and bytes that are views, which few operations know; others stay.

    Only what was weighed before may be given here.
    """
    kind = plain(column.type)
    if not is_view(kind):
        return column
    large = storable(kind)
    if column.type == kind:
        return column.cast(large)
    used, values = _used(column)
    known = pa.array(values, pa.large_binary())
    where = pc.index_in(column.indices, value_set=used)
    return pa.DictionaryArray.from_arrays(where, known.cast(large))


def storable(kind: pa.DataType) -> pa.DataType:
    """The type that `without_views` gives for a type."""
    if pa.types.is_dictionary(kind):
        inner = storable(kind.value_type)
        return kind if inner == kind.value_type else pa.dictionary(pa.int32(), inner)
    if not is_view(kind):
        return kind
    return pa.large_string() if is_text(kind) else pa.large_binary()
