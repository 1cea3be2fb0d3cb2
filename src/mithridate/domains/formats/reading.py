"""Reading a data set from outside, whatever its format."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mithridate.core.errors import DataError
from mithridate.domains.formats import (
    columnar,
    containers,
    delimited,
    jsonl,
    npz,
    picture_tables,
    tree,
    unread,
    webdataset,
)
from mithridate.domains.formats.arrow import ArrowShard
from mithridate.domains.formats.columns import name_columns as listed
from mithridate.domains.formats.columns import names_of
from mithridate.domains.formats.layouts import (
    BESIDE,
    format_of,
    goes_deeper,
    is_data,
    refuse_configurations,
)
from mithridate.domains.formats.media import KINDS
from mithridate.domains.formats.media import SUFFIXES as IMAGE_SUFFIXES
from mithridate.domains.formats.parquet import ParquetShard
from mithridate.domains.formats.source import (
    LIMITS,
    SUFFIXES,
    Draw,
    Limits,
    Reading,
    Source,
    TooFewSeen,
)
from mithridate.domains.formats.splits import SPLITS, choose_split, split_words
from mithridate.domains.formats.walk import Entry, listing, name_path
from mithridate.domains.registry import DOMAINS, own_layouts

KNOWN = (
    f"a folder of class folders with images or sounds ({KINDS}), an archive of one "
    f"({', '.join(containers.SUFFIXES)}), or files that end in {', '.join(SUFFIXES)}"
)


def read(
    path: str | Path, *, domain: str = "auto", size: int | None = None, label: str | None = None,
    content: str | None = None, split: str | None = None, keep_going: bool = False,
    limits: Limits = LIMITS, delimiter: str | None = None, header: bool | None = None,
    columns: str | Sequence[str] | None = None, hidden_label: str | int | None = None,
    unlabelled: bool = False, draw: Draw | None = None, seconds: float | None = None,
    categories: str | Sequence[str] | None = None, without: str | Sequence[str] | None = None,
    joined: Mapping[str, str] | None = None,
) -> Source:  # fmt: skip
    """Read a labelled data set from a file or a folder.

    Nothing is ever unpickled, no link is followed out of the folder, and what a file declares is
    compared with `limits` before it is unpacked.

    Args:
        domain: a name of `DOMAINS` where a file could be read as several.
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
        unlabelled: labels may be absent, and all examples may be of one class, as with what arrives
            at a service.
        draw: gives the rows to keep of so many examples that there are; the others are not even
            decoded, unless `keep_going` asks which of them are broken.
        seconds: cut sounds to so many, or fill them up with silence.
        categories: columns of a table that hold categories, though they look like numbers.
        without: columns of a table that are left out.
        joined: what each label is called, and under "" all others, where classes are joined.

    Raises:
        DataError: which names the file or the row, what was expected, what was found and what to
            do.
        UnsafeData: where the file could do harm.
    """
    reading = Reading(
        _root(path), _domain(domain), _size(size), label, content, _split(split), keep_going,
        limits, delimiter, header, names_of(columns),
        None if hidden_label is None else str(hidden_label), unlabelled, draw,
        seconds=_seconds(seconds), categories=names_of(categories), without=names_of(without),
        joined=joined or {},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # decoders warn about what is checked here anyway
        try:
            return _read(replace(reading, rejected=[], skipped=[], notes=[]))
        except TooFewSeen:
            return _read(replace(reading, ahead=False))


def _read(reading: Reading) -> Source:
    if (source := _read_own(reading)) is not None:
        return source
    if reading.root.is_file():
        return _read_alone(reading.root, reading)
    return _read_folder(reading.root, reading, depth=0)


def _read_own(reading: Reading) -> Source | None:
    """Read what is laid out as one domain alone lays it out; None where it is not."""
    for own in own_layouts():
        source: Source | None = own(reading)
        if source is not None:
            return source
    return None


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
    if domain != "auto" and domain not in DOMAINS:
        *others, last = DOMAINS
        known = f"{', '.join(['auto', *others])} or {last}"
        raise DataError(f"expected the domain {known}, found {domain!r}")
    return domain


def _size(size: int | None) -> int | None:
    if size is not None and not 4 <= size <= 4096:  # a side of 3 could be the channels
        raise DataError(f"expected a size of 4 to 4096 pixels, found {size}")
    return size


def _seconds(seconds: float | None) -> float | None:
    if seconds is not None and not 0.01 <= seconds <= 600:
        raise DataError(f"expected 0.01 to 600 seconds, found {seconds}")
    return seconds


def _split(split: str | None) -> str | None:
    if split is not None and split.lower() not in SPLITS:
        raise DataError(f"expected the split train, test or validation, found {split!r}")
    return None if split is None else SPLITS[split.lower()]


def _read_folder(folder: Entry, reading: Reading, depth: int) -> Source:
    """Read a folder of files of one format, of splits, or of classes."""
    folders, files = listing(folder, reading)
    name = name_path(folder, reading.root)
    if not folders and not files:
        raise DataError(f"{name!r}: expected {KNOWN}; found an empty folder")
    unread.refuse_detection(name, folders, files, reading)
    beside = folders or any(file.suffix.lower() in IMAGE_SUFFIXES for file in files)
    named = picture_tables.find(folder, files, reading, alone=False) if beside else None
    if named is not None:
        return named
    alone = not folders and all(file.suffix.lower() == BESIDE for file in files)
    if alone or any(map(is_data, files)):
        shards = _shards(folders, files, reading)
        own = None
        if len(shards) == 1 and isinstance(shards[0], Path):
            own = _read_own(replace(reading, root=shards[0]))
        return own or _read_files(shards, reading)
    unread.refuse_all(folders, files, reading)
    if not folders:
        return _read_flat(folder, files, reading)
    refuse_configurations(folders, files, reading)
    inner = _inner(folders, files, reading) if depth < 4 else None
    return tree.read(folder, reading) if inner is None else _read_folder(inner, reading, depth + 1)


def _inner(folders: list[Entry], files: list[Entry], reading: Reading) -> Entry | None:
    """Give the one folder in which the data set lies, or that of one split; None where it is here.

    A folder that holds nothing but folders is no class.
    """
    if files:
        return None
    if all(each.name.lower() in SPLITS for each in folders):
        return choose_split({SPLITS[each.name.lower()]: each for each in folders}, reading)
    only = folders[0]
    if len(folders) == 1 and (only.name.lower() == "data" or goes_deeper(only)):
        return only
    return None


def _read_flat(folder: Entry, files: list[Entry], reading: Reading) -> Source:
    """Read pictures without classes, where none are asked for."""
    if reading.unlabelled and any(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        return tree.read_flat(folder, reading)
    raise DataError(_no_data(name_path(folder, reading.root), files))


def _no_data(name: str, files: Sequence[Entry]) -> str:
    endings = listed([f"...{file.suffix}" for file in files])
    if all(file.suffix.lower() in IMAGE_SUFFIXES for file in files):
        return (
            f"{name!r}: expected a folder for each class, which labels what is in it; found "
            "files without class folders, and no table beside them that names and labels them"
        )
    return f"{name!r}: expected {KNOWN}; found files that end in {endings}"


def _shards(folders: list[Entry], files: list[Entry], reading: Reading) -> list[Entry]:
    """Choose the files that make up one data set: of one format, and of one split."""
    known = [file for file in files if is_data(file)] or files
    for path in folders + [file for file in files if file not in known]:
        reading.reject(
            name_path(path, reading.root),
            f"expected only {format_of(known[0])} files here, found something else; "
            "remove it or give the path of the data file itself",
        )
    formats = sorted({format_of(file) for file in known})
    if len(formats) > 1:
        raise DataError(
            f"{str(reading.root)!r}: expected files of one format, found {', '.join(formats)}; "
            "give the path of one file"
            + (
                "; a table finds its pictures once the archive is unpacked beside it"
                if "archive" in formats
                else ""
            )
        )
    by_split: dict[str, list[Entry]] = {}
    for file in known:
        words = split_words(file.name)
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
    return choose_split(by_split, reading)


def _read_alone(file: Path, reading: Reading) -> Source:
    """Read a file that was given by its path: a table may name the pictures beside it."""
    named = picture_tables.find(file.parent, [file], reading, alone=True)
    return _read_files([file], reading) if named is None else named


def _read_archives(files: list[Path], reading: Reading) -> Source:
    """Read archives as the folder that they hold, or as the shards of a WebDataset."""
    with containers.opened(files, reading) as top:
        if webdataset.is_one(top):
            return webdataset.read(top, reading)
        if len(files) > 1:
            raise DataError(
                f"{str(reading.root)!r}: expected shards of a WebDataset (key.jpg, key.cls), found "
                f"{len(files)} other archives; give the path of one"
            )
        return _read_folder(top, reading, depth=0)


def _read_files(entries: list[Entry], reading: Reading) -> Source:
    files = [each for each in entries if isinstance(each, Path)]
    name, format = name_path(entries[0], reading.root), format_of(entries[0])
    if len(files) < len(entries):
        raise DataError(
            f"{name!r}: expected pictures in the archive, found {format or 'another name'}, which "
            "is not read inside of one; unpack it and give its path"
        )
    if not format:
        unread.refuse(files[0], reading)
        raise DataError(f"{name!r}: expected {KNOWN}; found another name")
    if format == "archive":
        return _read_archives(files, reading)
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
