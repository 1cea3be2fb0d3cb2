"""What lies in a folder, seen by names only, before anything is read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mithridate.core.errors import DataError
from mithridate.domains.formats.columns import name_columns as listed
from mithridate.domains.formats.containers import ArchiveEntry, is_archive
from mithridate.domains.formats.source import SUFFIXES, Reading
from mithridate.domains.formats.splits import SPLITS
from mithridate.domains.formats.walk import Entry, no_data

BESIDE = ".json"
"""How files end that are data by themselves, and in folders often say something about others."""


def format_of(file: Entry) -> str:
    """Name the format of a file, "" where it is none of those known."""
    return "archive" if is_archive(file.name) else SUFFIXES.get(file.suffix.lower(), "")


def is_data(file: Entry) -> bool:
    """Whether a file in a folder is data by its name."""
    return bool(format_of(file)) and file.suffix.lower() != BESIDE


def goes_deeper(folder: Entry) -> bool:
    """Whether files of a known format, or nothing but folders, lie directly in a folder."""
    if isinstance(folder, ArchiveEntry):
        inside = [(entry.name, entry.fetch is None) for entry in folder.inside.values()]
    else:
        try:
            with os.scandir(folder) as entries:
                inside = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries]
        except OSError:
            return False  # reading it will say why
    inside = [each for each in inside if not no_data(each[0])]
    known = any(Path(name).suffix.lower() in SUFFIXES or is_archive(name) for name, _ in inside)
    return known or (bool(inside) and all(is_folder for _, is_folder in inside))


def refuse_configurations(
    folders: Sequence[Entry], files: Sequence[Entry], reading: Reading
) -> None:
    """Say that a folder holds several data sets of files, each in a folder of its own."""
    paths = [each for each in folders if isinstance(each, Path)]
    several = [each for each in paths if each.name.lower() not in SPLITS]
    if files or len(several) < 2 or not all(map(_holds_data, paths)):
        return
    names = [each.name for each in several]
    raise DataError(
        f"{str(reading.root)!r}: expected one data set, found {len(names)} configurations: "
        f"{listed(names)}; give the path of one, e.g. {str(several[0])!r}"
    )


def _holds_data(folder: Path) -> bool:
    """Whether a folder holds files of a known format, or folders named like splits that do."""
    if _holds_files(folder):
        return True
    try:
        inside = [each for each in folder.iterdir() if each.is_dir() and not each.is_symlink()]
    except OSError:
        return False  # reading it will say why
    splits = [each for each in inside if each.name.lower() in SPLITS]
    return bool(splits) and all(map(_holds_files, splits))


def _holds_files(folder: Path) -> bool:
    """Whether files of a known format lie directly in a folder, as in one configuration of many."""
    try:
        with os.scandir(folder) as entries:
            return any(is_data(Path(entry.name)) for entry in entries)
    except OSError:
        return False  # reading it will say why
