"""Zip and tar archives as folders: looked into without unpacking, and bounded.

What an archive declares is compared with the limits before anything is read from it. A name that
leads out of the archive, a link, a device, a password, and an archive inside are refused. Files are
read one by one, when they are asked for, into memory and never to disk.
"""

from __future__ import annotations

import gzip
import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import raised
from mithridate.domains.formats.source import Limits, Reading, brief

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
RATIO = 200
"""Bytes that one byte of an archive may unpack to; what is smaller than ROOM never counts."""

ROOM = 2**26
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)
SHARD = 2**48
"""Where the places of one archive of several end and those of the next begin."""


@dataclass(frozen=True, eq=False)
class ArchiveEntry:
    """A file or a folder of an archive.

    Attributes:
        place: below the archive.
        at: where it lies, so that files are read in their order.
        fetch: gives what a file holds, None for a folder.
        inside: what a folder holds, by name.

    """

    place: PurePosixPath
    at: int = 0
    fetch: Callable[[], bytes] | None = None
    inside: dict[str, ArchiveEntry] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its last part."""
        return self.place.name

    @property
    def suffix(self) -> str:
        """What its name ends in, with the dot."""
        return self.place.suffix

    @property
    def stem(self) -> str:
        """Its name without the suffix."""
        return self.place.stem


def is_archive(name: str) -> bool:
    """Whether a file of this name is an archive that is looked into."""
    return name.lower().endswith(SUFFIXES)


@contextmanager
def opened(files: Sequence[Path], reading: Reading) -> Iterator[ArchiveEntry]:
    """Open archives as one folder, as long as the block lasts.

    Raises:
        DataError: where a file is no archive.
        UnsafeData: where an archive declares more than the limits, or unpacks to far more than it
            is large.

    """
    top = ArchiveEntry(PurePosixPath("."))
    with ExitStack() as stack:
        for number, file in enumerate(files):
            for name, at, fetch in _members(file, reading, stack):
                below = f"{file.name}/{name}" if len(files) > 1 else name
                _put(top, below, SHARD * number + at, fetch, reading)
        yield top


def _members(
    file: Path, reading: Reading, stack: ExitStack
) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    """Yield the name, the place and the content of every file in an archive."""
    members = _of_zip if file.suffix.lower() == ".zip" else _of_tar
    try:
        yield from members(file, reading, stack)
    except DataError:
        raise
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
        kind = "zip" if file.suffix.lower() == ".zip" else "tar"
        raise DataError(
            f"{file.name!r}: expected a whole {kind} archive, found a broken one ({error}); "
            "download or pack it again"
        ) from None


def _of_zip(
    file: Path, reading: Reading, stack: ExitStack
) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    archive = stack.enter_context(zipfile.ZipFile(file))
    infos = [info for info in archive.infolist() if not info.is_dir()]
    reading.count(len(infos), file.name)
    _check_total(sum(info.file_size for info in infos), file, reading.limits)
    for info in infos:
        why = _not_zipped(info)
        if why:
            reading.reject(_readable(info.filename), why, UnsafeData)
            continue
        yield (
            info.filename.replace("\\", "/"),
            info.header_offset,
            partial(_content, partial(archive.open, info), info.file_size, reading.limits),
        )


def _not_zipped(info: zipfile.ZipInfo) -> str:
    """Say why a member of a zip archive is not read."""
    kind = stat.S_IFMT(info.external_attr >> 16) if info.create_system == 3 else 0
    if kind not in (0, stat.S_IFREG):
        return "expected a file in the archive, found a link or a device, which is not followed"
    if info.flag_bits & 1:
        return "expected a file in the archive, found one with a password; pack it without"
    if info.compress_type not in METHODS:
        return "expected a file that is stored or deflated, found another method; pack it again"
    return ""


def _of_tar(
    file: Path, reading: Reading, stack: ExitStack
) -> Iterator[tuple[str, int, Callable[[], bytes]]]:
    packed = file.suffix.lower() != ".tar"
    raw = stack.enter_context(gzip.GzipFile(file) if packed else file.open("rb"))
    bounded: Any = BoundedFile(cast("IO[bytes]", raw), file, reading.limits)
    archive = stack.enter_context(tarfile.TarFile(fileobj=bounded))
    for number, member in enumerate(archive):
        reading.count(number + 1, file.name)
        if member.isdir():
            continue
        if not member.isreg() or member.issparse():
            what = "expected a file in the archive, found a link or a device, which is not followed"
            reading.reject(_readable(member.name), what, UnsafeData)
            continue
        open_member = partial(_extracted, archive, member)
        yield (
            member.name,
            member.offset_data,
            partial(_content, open_member, member.size, reading.limits),
        )
    bounded.seek(archive.offset)
    if not bounded.read(tarfile.BLOCKSIZE):
        reading.notes.append(f"The archive {file.name!r} has no end mark: it may be cut short.")


def _extracted(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast("IO[bytes]", archive.extractfile(member))


class BoundedFile:
    """A file in which nobody comes further, or reads more at once, than the limits allow."""

    def __init__(self, file: IO[bytes], path: Path, limits: Limits) -> None:
        self.file, self.path, self.limits = file, path, limits

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes; raises UnsafeData where they are too many."""
        if not 0 <= size <= self.limits.file + tarfile.RECORDSIZE:
            raise UnsafeData(
                f"{self.path.name!r}: expected parts of at most {self.limits.file} bytes, found "
                f"one of {size}; {raised('file')}"
            )
        data = self.file.read(size)
        _check_total(self.file.tell(), self.path, self.limits)
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place; raises UnsafeData where it is too far."""
        if whence == 0:
            _check_total(place, self.path, self.limits)
        return self.file.seek(place, whence)

    def tell(self) -> int:
        """Give the place."""
        return self.file.tell()


def _check_total(unpacked: int, file: Path, limits: Limits) -> None:
    """Refuse an archive that unpacks to more than the limit, or to far more than it is large."""
    if unpacked > limits.total:
        raise UnsafeData(
            f"{file.name!r}: expected at most {limits.total} bytes when unpacked, found more; "
            f"{raised('total')}"
        )
    if unpacked > max(ROOM, RATIO * file.stat().st_size):
        raise UnsafeData(
            f"{file.name!r}: expected an archive that unpacks to at most {RATIO} times its size, "
            "found a bomb; unpack it yourself if you trust it"
        )


def _content(open_file: Callable[[], IO[bytes]], size: int, limits: Limits) -> bytes:
    """Read one file of an archive, of bounded size."""
    if size > limits.file:
        raise UnsafeData(
            f"expected a file of at most {limits.file} bytes, found {size}; {raised('file')}"
        )
    try:
        with open_file() as file:
            data = file.read(size)
    except DataError:
        raise
    except Exception as error:  # decompressors of hostile bytes raise anything
        raise DataError(
            f"expected a whole file in the archive, found a broken one ({error}); pack it again"
        ) from None
    if len(data) != size:
        raise DataError(
            f"expected {size} bytes in the archive, found {len(data)}; download or pack it again"
        )
    return data


def _put(
    top: ArchiveEntry, name: str, at: int, fetch: Callable[[], bytes], reading: Reading
) -> None:
    """Put a file into the folders that its name tells, which stay inside of the archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or re.match(r"[A-Za-z]:[/\\]", name) or ".." in parts or "\0" in name:
        why = "expected a name inside of the archive, found one that leads out of it"
        reading.reject(_readable(name), why, UnsafeData)
        return
    folder = top
    for depth, part in enumerate(parts[:-1]):
        made = ArchiveEntry(PurePosixPath(*parts[: depth + 1]), at)
        folder = folder.inside.setdefault(part, made)
    if not parts or folder.fetch is not None or parts[-1] in folder.inside:
        why = f"expected every name once in the archive, found {brief(name)} again; pack it again"
        reading.reject(_readable(name), why)
        return
    folder.inside[parts[-1]] = ArchiveEntry(PurePosixPath(*parts), at, fetch)


def _readable(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
