"""Whether numbers are finite, piece by piece, by their bits and without a tensor library."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod

import numpy as np

from mithridate.artifacts.findings import Log

BITS = {
    "bool": 8, "uint8": 8, "int8": 8, "uint16": 16, "int16": 16, "uint32": 32, "int32": 32,
    "uint64": 64, "int64": 64, "float16": 16, "bfloat16": 16, "float32": 32, "float64": 64,
    "complex32": 32, "complex64": 64, "complex128": 128, "float8_e4m3": 8, "float8_e5m2": 8,
    "float8_e8m0": 8, "float8_e4m3fnuz": 8, "float8_e5m2fnuz": 8, "float4": 4, "float6": 6,
}  # fmt: skip
"""Bits of one element, by its type."""

EXPONENT = {
    "float16": ("<u2", 0x7C00), "bfloat16": ("<u2", 0x7F80), "float32": ("<u4", 0x7F800000),
    "float64": ("<u8", 0x7FF0 << 48), "complex32": ("<u2", 0x7C00),
    "complex64": ("<u4", 0x7F800000), "complex128": ("<u8", 0x7FF0 << 48),
    "float8_e5m2": ("u1", 0x7C), "float8_e4m3": ("u1", 0x7F), "float8_e8m0": ("u1", 0xFF),
}  # fmt: skip
"""The word of each type, and the bits that are all set in NaN and infinity alone."""

ONLY = {"float8_e4m3fnuz": 0x80, "float8_e5m2fnuz": 0x80}
"""Types of one byte with one value that is NaN, and none that is infinite."""

LARGEST = 1 << 48
"""Elements of a tensor from which on its shape is absurd."""


def nonfinite(chunks: Iterable[bytes], kind: str) -> int:
    """Count NaN and infinite values in pieces of little-endian bytes."""
    if kind in ONLY:
        return sum(chunk.count(ONLY[kind]) for chunk in chunks)
    if kind not in EXPONENT:
        return 0
    word, mask = EXPONENT[kind]
    width, rest, total = np.dtype(word).itemsize, b"", 0
    for chunk in chunks:
        held = rest + chunk if rest else chunk
        whole = len(held) - len(held) % width
        bits = np.frombuffer(held, word, whole // width)
        total += int(((bits & bits.dtype.type(mask)) == mask).sum())
        rest = held[whole:]
    return total


def report_nonfinite(count: int, name: str, log: Log) -> None:
    """Say that weights are not finite."""
    if count:
        log.warning(
            f"{count:,} values are NaN or infinite", name,
            "the network may answer anything; ask for finite weights",
        )  # fmt: skip


def count_elements(shape: Iterable[object], name: str, log: Log) -> int | None:
    """Give the number of elements of a shape; None, with a finding, where it cannot be."""
    axes = list(shape)
    if len(axes) > 64:  # before their product, which may have millions of digits
        log.danger(f"the shape is absurd: {len(axes)} axes", name)
        return None
    if not all(isinstance(axis, int) and not isinstance(axis, bool) and axis >= 0 for axis in axes):
        log.danger("the shape holds something that is no size", name)
        return None
    count: int = prod(axis for axis in axes if isinstance(axis, int))
    if count > LARGEST:
        log.danger(f"the shape is absurd: {len(axes)} axes, {min(count, 1 << 63):,} elements", name)
        return None
    return count


def nbytes(count: int, kind: str) -> int:
    """Bytes of so many elements."""
    return -(-count * BITS[kind] // 8)
