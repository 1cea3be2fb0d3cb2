"""NumPy archives opened safely: sizes are checked before anything is unpacked, pickles refused."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import raised
from mithridate.domains.formats.columns import unique
from mithridate.domains.formats.source import Reading, brief

Array = np.ndarray[Any, Any]


def members(archive: zipfile.ZipFile, name: str, reading: Reading) -> dict[str, zipfile.ZipInfo]:
    """List the arrays by name after checking what the archive says it unpacks to."""
    infos = archive.infolist()
    total = sum(info.file_size for info in infos)
    if total > reading.limits.total:
        raise UnsafeData(
            f"{name!r}: expected at most {reading.limits.total} bytes when unpacked, found "
            f"{total}; {raised('total')}"
        )
    wrong = [info.filename for info in infos if not info.filename.endswith(".npy")]
    if wrong:
        raise DataError(
            f"{name!r}: expected arrays only (.npy), found {brief(wrong[0])}; save it again with "
            "numpy.savez"
        )
    names = [info.filename.removesuffix(".npy") for info in infos]
    unique(names, name)
    return dict(zip(names, infos, strict=True))


def load(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> Array:
    """Load one array after comparing what its header asks for with what the archive holds."""
    size = _size_told(archive, info, name)
    if size > info.file_size:
        raise UnsafeData(
            f"{name!r}: expected {size} bytes in {info.filename!r} as its header says, found "
            f"{info.file_size}; save the arrays again"
        )
    with archive.open(info) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _size_told(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> int:
    """Read how many bytes an array has by its header; raises UnsafeData where it holds objects."""
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"{name!r}: expected format 1.0 or 2.0, found {version}")
        header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = header(file)
    if kind.hasobject:
        raise UnsafeData(
            f"{name!r}: expected numbers in {info.filename!r}, found Python objects, which "
            "need pickle and are never loaded; save plain arrays"
        )
    size: int = kind.itemsize
    for axis in shape:
        size *= axis  # Python integers do not overflow
    return size
