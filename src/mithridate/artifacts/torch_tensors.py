"""Tensors of torch.save, built from the bytes of their storages; no pickle is loaded.

`torch_files` looks at such files; here they are read, after that look has found no danger.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import torch

from mithridate.artifacts.archives import open_archive
from mithridate.artifacts.findings import FileLimits, Log
from mithridate.artifacts.pickle_program import Storage
from mithridate.artifacts.pickle_values import Described, read
from mithridate.artifacts.torch_files import MAGIC
from mithridate.artifacts.values import BITS, nbytes
from mithridate.core.errors import UnsafeData

DTYPES = {
    name: getattr(torch, name)
    for name in (
        "bool", "uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float16",
        "bfloat16", "float32", "float64", "complex64", "complex128", "float8_e4m3fn",
        "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu",
    )
}  # fmt: skip
"""Types of tensors that are built."""

Bytes = Callable[[Storage], bytes]


class Builder:
    """Builds tensors of what a file holds; views of one storage stay views of one.

    Attributes:
        content: What the file's pickle holds; a tensor is `Described`.

    """

    def __init__(self, content: Any, held: Bytes) -> None:
        self.content, self._held = content, held
        self._bases: dict[tuple[str, str], torch.Tensor] = {}

    def tensor(self, told: Described, name: str) -> torch.Tensor:
        """Build a tensor.

        Args:
            told: What the pickle says of it.
            name: How to speak of it.

        Raises:
            UnsafeData: It is larger than the file, or lies outside of its storage.
            ValueError: Its type is not known.

        """
        base = self._base(told)
        count = 1
        for length in told.shape:
            count *= length
        if count > len(base):
            raise UnsafeData(f"{name!r} is said to be larger than what the file holds")
        steps = zip(told.shape, told.stride, strict=True)
        last = told.offset + sum((length - 1) * step for length, step in steps)
        if count and last >= len(base):
            raise UnsafeData(f"{name!r} is said to lie outside of what the file holds")
        if not count:
            return torch.empty(told.shape, dtype=base.dtype)
        return base.as_strided(told.shape, told.stride, told.offset)

    def _base(self, told: Described) -> torch.Tensor:
        kind = told.kind or told.storage.kind
        if kind not in DTYPES or told.storage.kind not in BITS:
            raise ValueError(f"a tensor of the type {kind or 'unknown'!r} is not read")
        key = told.storage.key, kind
        if key not in self._bases:
            words = bytearray(self._held(told.storage))
            dtype = DTYPES[kind]
            whole = len(words) - len(words) % dtype.itemsize
            empty = torch.empty(0, dtype=dtype)
            self._bases[key] = (
                torch.frombuffer(words, dtype=dtype, count=whole // dtype.itemsize)
                if whole else empty
            )  # fmt: skip
        return self._bases[key]


def of_archive(file: BinaryIO, size: int, limits: FileLimits) -> Builder:
    """Read a zip archive of torch.save. Raises ValueError where it is none that is understood."""
    looked = Log(limits)
    archive = open_archive(file, size, looked)
    names = (
        [name for name in archive.members if f"/{name}".endswith("/data.pkl")] if archive else []
    )
    if archive is None or len(names) != 1 or looked.bomb:
        raise ValueError(f"the archive has {len(names)} pickles of tensors instead of one")
    root = names[0].removesuffix("data.pkl")

    def member(name: str, most: int = 0) -> bytes:
        if name not in archive.members:
            raise ValueError(f"the archive lacks {name!r}")
        log = Log(limits)
        words = archive.read(archive.members[name], most or archive.members[name].size, log)
        if words is None or log.findings:
            why = log.findings[0].what if log.findings else "it cannot be unpacked"
            raise ValueError(f"{name!r}: {why}")
        return words

    if f"{root}byteorder" in archive.members and member(f"{root}byteorder", 16) != b"little":
        raise ValueError("its numbers are not stored with their lowest byte first")

    def held(storage: Storage) -> bytes:
        words = member(f"{root}data/{storage.key}")
        needed = nbytes(storage.count, storage.kind)
        if len(words) < needed:
            raise ValueError(f"a storage has {len(words):,} bytes instead of {needed:,}")
        return words[:needed]

    pickle = member(names[0], limits.pickle)
    return Builder(read(io.BytesIO(pickle), len(pickle), Log(limits)).value, held)


def of_old_file(file: BinaryIO, size: int, limits: FileLimits) -> Builder:
    """Read a file as torch saved it before archives. Raises ValueError where it is none."""
    file.seek(0)
    log = Log(limits)
    parts = [read(file, size - file.tell(), log) for _ in range(5)]
    magic, _, system, content, keys = (part.value for part in parts)
    little = not isinstance(system, dict) or system.get("little_endian", True) is True
    if magic != MAGIC or not isinstance(keys, list) or not little:
        raise ValueError("it is no old file of torch with the lowest bytes first")
    places: dict[str, tuple[int, int]] = {}
    for key in map(str, keys):
        storage = parts[3].storages.get(key)
        words = file.read(8)
        if storage is None or storage.kind not in BITS or len(words) < 8:
            raise ValueError("it ends early, or holds a storage that no tensor uses")
        length = nbytes(struct.unpack("<q", words)[0], storage.kind)
        if not 0 <= length <= size - file.tell():
            raise ValueError("a storage is longer than the file")
        places[key] = file.tell(), length
        file.seek(length, 1)

    def held(storage: Storage) -> bytes:
        if storage.key not in places:
            raise ValueError(f"the file lacks the storage {storage.key!r}")
        start, length = places[storage.key]
        if length < nbytes(storage.count, storage.kind):
            raise ValueError("a storage is shorter than the pickle says")
        file.seek(start)
        return file.read(length)

    return Builder(content, held)
