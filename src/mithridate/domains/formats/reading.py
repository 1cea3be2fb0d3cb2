"""Reading a data set from outside, whatever its format."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats import columnar, delimited, jsonl, npz, tree
from mithridate.domains.formats.arrow import ArrowShard
from mithridate.domains.formats.columns import name_columns as listed
from mithridate.domains.formats.columns import names_of
from mithridate.domains.formats.decoding import KINDS
from mithridate.domains.formats.decoding import SUFFIXES as IMAGE_SUFFIXES
from mithridate.domains.formats.parquet import ParquetShard
from mithridate.domains.formats.source import LIMITS, SUFFIXES, Limits, Reading, Source
from mithridate.domains.formats.walk import listing, name_path

BESIDE = ".json"
"""How files end that are data by themselves, and in folders often say something about others."""

SPLITS = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
}  # fmt: skip

KNOWN = f"a folder of class folders with {KINDS} images, or files that end in {', '.join(SUFFIXES)}"


def read(
    path: str | Path,
    *,
    domain: str = "auto",
    size: int | None = None,
    label: str | None = None,
    content: str | None = None,
    split: str | None = None,
    keep_going: bool = False,
    limits: Limits = LIMITS,
    delimiter: str | None = None,
    header: bool | None = None,
    columns: str | Sequence[str] | None = None,
    hidden_label: str | int | None = None,
) -> Source:
    """Read a labelled data set from a file or a folder.

    Nothing is ever unpickled, no link is followed out of the folder, and what a file declares is
    compared with `limits` before it is unpacked.

    Args:
        domain: "image" or "text" where a file could be read as both.
        size: resize images to size x size.
        label: the columns, where their names are unusual.
        content: the columns, where their names are unusual.
        split: "train", "test" or "validation" where there are several (by default train).
        keep_going: list single bad examples in `rejected` instead of raising.
        delimiter: between the cells of a CSV file, where it is not plain.
        header: whether its first line names the columns.
        columns: their names, where it does not.
        hidden_label: the label that means "unknown", whose rows are left out, or "none" where every
            label is a class.

    Raises:
        DataError: which names the file or the row, what was expected, what was found and what to
            do.
        UnsafeData: where the file could do harm.
    """
    reading = Reading(
        _root(path), _domain(domain), _size(size), label, content, _split(split), keep_going,
        limits, delimiter, header, names_of(columns),
        None if hidden_label is None else str(hidden_label),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoders warn about what is checked here anyway
        if reading.root.is_file():
            return _read_files([reading.root], reading)
        return _read_folder(reading.root, reading, depth=0)


def _root(path: str | Path) -> Path:
    try:
        given = Path(path).absolute()
        if given.is_file():
            return given.parent.resolve() / given.name  # a link keeps its name, and so its suffix
        if given.resolve(strict=True).is_dir():
            return given.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{str(path)!r}: cannot be read: {reason}; check the path") from None
    raise DataError(f"{str(path)!r}: expected a file or a folder, found a pipe or a device")


def _domain(domain: str) -> str:
    if domain not in ("auto", "image", "text"):
        raise DataError(f"expected the domain auto, image or text, found {domain!r}")
    return domain


def _size(size: int | None) -> int | None:
    if size is not None and not 4 <= size <= 4096:  # a side of 3 could be the channels
        raise DataError(f"expected a size of 4 to 4096 pixels, found {size}")
    return size


def _split(split: str | None) -> str | None:
    if split is not None and split.lower() not in SPLITS:
        raise DataError(f"expected the split train, test or validation, found {split!r}")
    return None if split is None else SPLITS[split.lower()]


def _read_folder(folder: Path, reading: Reading, depth: int) -> Source:
    """Read a folder of files of one format, of splits, or of classes."""
    folders, files = listing(folder, reading)
    name = name_path(folder, reading.root)
    if not folders and not files:
        raise DataError(f"{name!r}: expected {KNOWN}; found an empty folder")
    alone = not folders and all(file.suffix.lower() == BESIDE for file in files)
    if alone or any(map(_is_data, files)):
        return _read_files(_shards(folders, files, reading), reading)
    if not folders:
        raise DataError(_no_data(name, files))
    _refuse_configurations(folder, folders, files, reading)
    if depth < 3 and not files:
        if len(folders) == 1 and (folders[0].name.lower() == "data" or _holds_files(folders[0])):
            return _read_folder(folders[0], reading, depth + 1)
        if all(each.name.lower() in SPLITS for each in folders):
            by_split = {SPLITS[each.name.lower()]: [each] for each in folders}
            return _read_folder(_of_split(by_split, reading)[0], reading, depth + 1)
    return tree.read(folder, reading)


def _is_data(file: Path) -> bool:
    suffix = file.suffix.lower()
    return suffix in SUFFIXES and suffix != BESIDE


def _refuse_configurations(
    folder: Path, folders: list[Path], files: list[Path], reading: Reading
) -> None:
    """Say that a folder holds several data sets of files, each in a folder of its own."""
    several = [each for each in folders if each.name.lower() not in SPLITS]
    if files or len(several) < 2 or not all(map(_holds_data, folders)):
        return
    names = [name_path(each, folder) for each in several]
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
            return any(_is_data(Path(entry.name)) for entry in entries)
    except OSError:
        return False  # reading it will say why


def _no_data(name: str, files: Sequence[Path]) -> str:
    endings = listed([f"...{file.suffix}" for file in files])
    if all(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        return (
            f"{name!r}: expected a folder for each class, which labels the images in it; found "
            "images without class folders"
        )
    return f"{name!r}: expected {KNOWN}; found files that end in {endings}"


def _shards(folders: list[Path], files: list[Path], reading: Reading) -> list[Path]:
    """Choose the files that make up one data set: of one format, and of one split."""
    known = [file for file in files if _is_data(file)] or files
    for path in folders + [file for file in files if file not in known]:
        reading.reject(
            name_path(path, reading.root),
            f"expected only {SUFFIXES[known[0].suffix.lower()]} files here, found something else; "
            "remove it or give the path of the data file itself",
        )
    formats = sorted({SUFFIXES[file.suffix.lower()] for file in known})
    if len(formats) > 1:
        raise DataError(
            f"{str(reading.root)!r}: expected files of one format, found {', '.join(formats)}; "
            "give the path of one file"
        )
    by_split: dict[str, list[Path]] = {}
    for file in known:
        words = [SPLITS[w] for w in re.split(r"[-_. \d]+", file.stem.lower()) if w in SPLITS]
        by_split.setdefault(words[0] if words else "", []).append(file)
    if list(by_split) == [""]:
        return known
    if "" in by_split:
        example = next(files[0] for split, files in by_split.items() if split)
        raise DataError(
            f"{str(reading.root)!r}: expected every file to name its split like "
            f"{name_path(example, reading.root)!r}, found "
            f"{name_path(by_split[''][0], reading.root)!r}; "
            "give the path of one file"
        )
    return _of_split(by_split, reading)


def _of_split(by_split: dict[str, list[Path]], reading: Reading) -> list[Path]:
    """Take the split that was asked for, else the only one, else train; and say so."""
    there = sorted(by_split)
    wanted = reading.split or (there[0] if len(there) == 1 else "train")
    if wanted not in by_split:
        raise DataError(
            f"{str(reading.root)!r}: expected split {wanted!r}, found {', '.join(there)}; "
            f"choose one with {option('split')}"
        )
    reading.notes.append(f"Split {wanted!r} was read, of {', '.join(there)}.")
    return by_split[wanted]


def _read_files(files: list[Path], reading: Reading) -> Source:
    suffix = files[0].suffix.lower()
    format = SUFFIXES.get(suffix, "")
    if not format:
        name = name_path(files[0], reading.root)
        raise DataError(f"{name!r}: expected {KNOWN}; found another name")
    if format == "parquet":
        return columnar.read([ParquetShard(file, reading) for file in files], reading, format)
    if format == "arrow":
        shards = [ArrowShard(file, reading) for file in files]
        return columnar.read(shards, reading, format, "file" if shards[0].is_file else "stream")
    if format == "npz":
        return npz.read(files, reading)
    if format == "jsonl":
        return jsonl.read(files, reading)
    return delimited.read(files, reading, format)
