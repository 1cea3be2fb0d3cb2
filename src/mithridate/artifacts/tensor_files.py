"""Files that hold nothing but tensors, safetensors and NumPy archives, checked before reading.

A header that says more than the file holds makes readers reserve memory or read past its end.
"""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from mithridate.artifacts.archives import Archive, Member
from mithridate.artifacts.findings import Log
from mithridate.artifacts.values import BITS, count_elements, nbytes, nonfinite, report_nonfinite

KINDS = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
    "I32": "int32", "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64", "C64": "complex64", "F8_E4M3": "float8_e4m3",
    "F8_E5M2": "float8_e5m2", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0", "F4": "float4", "F6_E2M3": "float6",
    "F6_E3M2": "float6",
}  # fmt: skip
"""The types that safetensors knows, and ours."""

MARKUP = re.compile(r"<\s*[a-zA-Z!/]|javascript:|[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")

Entry = tuple[int, int, str, str]
"""Begin and end of a tensor's bytes, its name and its type."""


def safetensors_header(file: BinaryIO, size: int, log: Log) -> dict[str, Any] | None:
    """Read the header of safetensors; None, with a finding, where it is not to be trusted."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if length > size - 8:
        log.danger(f"the header is said to have {length:,} bytes, and the file has {size:,}")
        return None
    if length > log.limits.header:
        log.danger(f"the header has {length:,} bytes, more than any real one")
        return None
    try:
        pairs = json.loads(file.read(length), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        log.warning("the header is no JSON", "header")
        return None
    if not isinstance(pairs, _Pairs):
        log.warning("the header is no JSON object", "header")
        return None
    if pairs.repeated:
        log.danger("a name occurs twice, and readers take different ones", pairs.repeated)
    return {name: value.given if isinstance(value, _Pairs) else value
            for name, value in pairs.given.items()}  # fmt: skip


class _Pairs:
    """A JSON object that knows whether a name was repeated in it."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.given = dict(pairs)
        names = [name for name, _ in pairs]
        inner = [v.repeated for _, v in pairs if isinstance(v, _Pairs) and v.repeated]
        twice = [name for name, count in Counter(names).items() if count > 1]
        self.repeated: str = (twice + inner + [""])[0]


def look_at_safetensors(file: BinaryIO, size: int, log: Log, values: bool) -> None:
    """Check a safetensors file; values: whether weights are read for NaN."""
    header = safetensors_header(file, size, log)
    if header is None:
        return
    begin = 8 + int.from_bytes(_at(file, 0, 8), "little")
    _metadata(header.pop("__metadata__", {}), log)
    entries = [e for name, told in header.items() if (e := _entry(name, told, size - begin, log))]
    entries.sort(key=lambda e: e[:2])
    place = 0
    for start, end, name, _ in entries:
        if start < place:
            log.danger("the tensor shares bytes with another one", name)
        elif start > place:
            log.warning(f"{start - place:,} bytes before the tensor belong to none", name)
        place = max(place, end)
    if len(entries) == len(header) and place != size - begin:
        log.warning(f"{size - begin - place:,} bytes at the end belong to no tensor")
    if values:
        for start, end, name, kind in entries:
            report_nonfinite(nonfinite(_pieces(file, begin + start, end - start), kind), name, log)


def _metadata(given: Any, log: Log) -> None:
    """Look at the free words beside the tensors, which people may be shown."""
    if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
        log.warning("the metadata are not strings by name", "__metadata__")
        return
    for name, words in given.items():
        if MARKUP.search(name) or MARKUP.search(words):
            log.note("the metadata hold markup or control characters; they are shown escaped", name)


def _entry(name: str, given: Any, room: int, log: Log) -> Entry | None:
    """Check what the header says of one tensor."""
    fields = given if isinstance(given, dict) else {}
    kind, shape, offsets = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        log.warning("the header lacks the shape or the offsets", name)
        return None
    if not isinstance(kind, str) or kind not in KINDS:
        log.warning(f"the type {str(kind)[:40]!r} is unknown", name)
        return None
    count = count_elements(shape, name, log)
    start, end = offsets
    if count is None:
        return None
    if type(start) is not int or type(end) is not int or not 0 <= start <= end <= room:
        log.danger("the tensor lies outside of the file", name)
        return None
    if nbytes(count, KINDS[kind]) != end - start:
        log.danger(f"the shape needs {nbytes(count, KINDS[kind]):,} bytes, found {end - start:,}",
                   name)  # fmt: skip
        return None
    return start, end, name, KINDS[kind]


def _at(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _pieces(file: BinaryIO, place: int, count: int, step: int = 1 << 20) -> Iterator[bytes]:
    """Read a range of a file piece by piece."""
    file.seek(place)
    while count > 0 and (piece := file.read(min(step, count))):
        count -= len(piece)
        yield piece


def pieces(file: BinaryIO, place: int, count: int) -> Iterator[bytes]:
    """Read a range of a file in pieces of a mebibyte."""
    return _pieces(file, place, count)


def npy_header(head: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """Read shape, type and length of the header of one array. Raises ValueError."""
    stream = io.BytesIO(head)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format {version} instead of 1.0 or 2.0")
    first = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
    shape, _, kind = read(stream)
    return shape, kind, stream.tell()


def look_at_npz(members: Archive, log: Log, values: bool) -> None:
    """Check the arrays of a NumPy archive against their headers."""
    for name, member in members.members.items():
        if member.readable:
            look_at_npy(members, member, name, log, values)


def look_at_npy(members: Archive, member: Member, name: str, log: Log, values: bool) -> None:
    """Check one array."""
    try:
        shape, kind, begin = npy_header(members.head(member, 1 << 16))
    except Exception as error:  # NumPy parses a literal, and hostile bytes raise anything
        log.warning(f"it is no array: {error}", name)
        return
    if kind.hasobject:
        log.danger("the array holds Python objects, which need pickle", name)
        return
    count = count_elements(shape, name, log)
    if count is None:
        return
    if begin + count * kind.itemsize != member.size:
        needed, held = count * kind.itemsize, member.size - begin
        log.danger(f"the header needs {needed:,} bytes, found {held:,}", name)
        return
    if values and kind.kind in "fc" and kind.byteorder != ">" and kind.name in BITS:
        report_nonfinite(nonfinite(_after(members, member, begin), kind.name), name, log)


def look_at_array(file: BinaryIO, size: int, log: Log, values: bool) -> None:
    """Check a file of one array, and say what it is: numbers, or objects; a model it is not."""
    file.seek(0)
    try:
        shape, kind, begin = npy_header(file.read(1 << 16))
    except Exception as error:  # NumPy parses a literal, and hostile bytes raise anything
        log.warning(f"it is no array: {error}")
        return
    if kind.hasobject:
        log.danger("the array holds Python objects, which need pickle",
                   todo="do not open it; ask for numbers alone")  # fmt: skip
        return
    count = count_elements(shape, "the array", log)
    if count is None:
        return
    if begin + count * kind.itemsize != size:
        needed, held = count * kind.itemsize, size - begin
        log.danger(f"the header needs {needed:,} bytes, found {held:,}")
        return
    axes = ", ".join(map(str, shape))
    log.note(f"the file is one array, {kind.name}[{axes}], and no model: its weights have no names")
    if values and kind.kind in "fc" and kind.byteorder != ">" and kind.name in BITS:
        report_nonfinite(nonfinite(pieces(file, begin, size - begin), kind.name), "the array", log)


def _after(members: Archive, member: Member, begin: int) -> Iterator[bytes]:
    """The bytes of a member after its header."""
    for piece in members.chunks(member):
        yield piece[begin:]
        begin = max(0, begin - len(piece))
