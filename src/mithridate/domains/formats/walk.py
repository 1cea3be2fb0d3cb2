"""Going through a folder from outside without leaving it."""

from __future__ import annotations

import os
from pathlib import Path

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import raised
from mithridate.domains.formats.containers import ArchiveEntry
from mithridate.domains.formats.source import Reading

Entry = Path | ArchiveEntry
"""A file or a folder, on the disk or in an archive."""

LITTER = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
"""Names that operating systems leave behind, in lower case; so are all that begin with a dot."""

PAPERS = frozenset(
    {
        "readme", "readme.md", "readme.txt", "license", "license.md", "license.txt", "licence",
        "citation.cff", "sha256sums", "dataset_info.json", "dataset_infos.json",
        "dataset_dict.json", "state.json",
    }
)  # fmt: skip
"""Names of what usually accompanies data without being data, in lower case."""


def name_path(path: Entry, root: Path) -> str:
    """Name a path below the root, or by its last part; bytes that are no UTF-8 become escapes."""
    if isinstance(path, ArchiveEntry):
        return (
            str(path.place).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        )
    name = path.name if path == root else os.path.relpath(path, root)
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def no_data(name: str) -> bool:
    """Whether a file or folder of this name is passed over (and listed)."""
    lower = name.lower()
    return lower.startswith(".") or lower in LITTER or lower in PAPERS


def _entries(folder: Path, reading: Reading) -> list[os.DirEntry[str]]:
    """List a folder in the order of names; raises DataError where it cannot be or is too long."""
    name = name_path(folder, reading.root)
    try:
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(name, error) from None
    reading.count(len(entries), name)
    return entries


def listing(folder: Entry, reading: Reading) -> tuple[list[Entry], list[Entry]]:
    """List the folders and the files in a folder, in the order of their names.

    Names that say "no data" go to `reading.skipped`; links that lead out of the root, and what is
    neither a file nor a folder, are rejected.
    """
    if isinstance(folder, ArchiveEntry):
        return _packed(folder, reading)
    folders: list[Entry] = []
    files: list[Entry] = []
    for entry in _entries(folder, reading):
        path = folder / entry.name
        if no_data(entry.name):
            reading.skipped.append(name_path(path, reading.root))
            continue
        try:
            kind = _kind(path, entry, reading)
        except OSError as error:
            reading.reject(name_path(path, reading.root), why(error))
            continue
        (folders if kind == "folder" else files if kind == "file" else []).append(path)
    return folders, files


def _packed(folder: ArchiveEntry, reading: Reading) -> tuple[list[Entry], list[Entry]]:
    """List what a folder of an archive holds."""
    entries = [folder.inside[name] for name in sorted(folder.inside)]
    passed_over = [entry for entry in entries if no_data(entry.name)]
    reading.skipped += [name_path(entry, reading.root) for entry in passed_over]
    left = [entry for entry in entries if entry not in passed_over]
    return [e for e in left if e.fetch is None], [e for e in left if e.fetch is not None]


def _kind(path: Path, entry: os.DirEntry[str], reading: Reading) -> str:
    """Say whether an entry is a "folder", a "file", or "" where it was rejected."""
    if entry.is_symlink() and not stays_inside(path, reading):
        return ""
    if path.is_dir():
        return "folder"
    if path.is_file():
        return "file"
    reading.reject(
        name_path(path, reading.root),
        "expected a file or a folder, found neither (a pipe or a device?); remove it",
    )
    return ""


def stays_inside(link: Path, reading: Reading) -> bool:
    """Whether a link leads to something below the root; rejects it where it does not."""
    name = name_path(link, reading.root)
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
        reading.reject(name, "expected a file, found a link that leads nowhere; remove it")
        return False
    if target.is_relative_to(reading.root):
        return True
    reading.reject(
        name,
        "expected only what is in the folder, found a link that leads out of the folder, which "
        "was not followed; copy its target into the folder, or give the path of the link itself, "
        "if you trust it",
        UnsafeData,
    )
    return False


def contents(path: Entry, reading: Reading) -> bytes:
    """Read a file of bounded size.

    Raises:
        UnsafeData: where it is larger than the limit.
        DataError: where it cannot be read.
    """
    if isinstance(path, ArchiveEntry):
        assert path.fetch is not None
        return path.fetch()
    limit = reading.limits.file
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise DataError(why(error)) from None
    if len(data) > limit:
        raise UnsafeData(f"expected a file of at most {limit} bytes, found more; {raised('file')}")
    return data


def unreadable(name: str, error: OSError) -> DataError:
    """Say that a file could not be opened, and what to do."""
    return DataError(f"{name!r}: {why(error)}")


def why(error: OSError) -> str:
    """Say why the system did not open something, and what to do."""
    if isinstance(error, PermissionError):
        return "expected a readable file or folder, found no permission; change it with chmod"
    return f"cannot be read ({error.strerror or error}); check the disk or copy it again"
