"""A folder of images or of sounds for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.domains.formats.containers import ArchiveEntry
from mithridate.domains.formats.media import (
    EXPECTED,
    SUFFIXES,
    domain_of_files,
    encode,
    gather,
    suffix_of,
)
from mithridate.domains.formats.source import UNLABELLED, Layout, Reading, Source
from mithridate.domains.formats.texts import NO_UNICODE
from mithridate.domains.formats.unread import way_out
from mithridate.domains.formats.walk import Entry, contents, listing, name_path, no_data


def read(folder: Entry, reading: Reading) -> Source:
    """Read the images or sounds in folder/class/; the classes are the sorted names of the folders.

    Raises:
        DataError: where a class folder holds folders, or anything but images or sounds.
    """
    folders, files = listing(folder, reading)
    for file in files:
        reading.reject(
            name_path(file, reading.root),
            "expected only class folders here, found a file; move it into the folder of its "
            "class, or away",
        )
    by_name = sorted(
        ((Path(name_path(f, reading.root)).name, f) for f in folders), key=lambda pair: pair[0]
    )
    paths: list[Entry] = []
    labels: list[int] = []
    for number, (_, each) in enumerate(by_name):
        images = _images(each, reading)
        paths += images
        labels += [number] * len(images)
    kind = domain_of_files(paths, reading)
    reading.expect(kind, f"{kind} folders")
    reading.count(len(paths), name_path(folder, reading.root))
    names = [name_path(path, reading.root) for path in paths]
    column = np.array(labels, dtype=np.int64)
    inputs, kept = pictures(paths, column, names, reading)
    classes = [name for name, _ in by_name]
    kept_names = [names[row] for row in kept]
    return reading.finish("tree", inputs, column[kept], classes, kept_names, Layout())


def read_flat(folder: Entry, reading: Reading) -> Source:
    """Read the pictures that lie in a folder, without labels."""
    entries = _images(folder, reading)
    kind = domain_of_files(entries, reading)
    reading.expect(kind, "pictures" if kind == "image" else "sounds")
    names = [name_path(entry, reading.root) for entry in entries]
    labels = np.zeros(len(entries), dtype=np.int64)
    inputs, kept = pictures(entries, labels, names, reading)
    return reading.finish(
        "tree", inputs, labels[kept], [UNLABELLED], [names[row] for row in kept], Layout()
    )


def pictures(
    entries: Sequence[Entry],
    labels: np.ndarray[Any, Any],
    names: Sequence[str],
    reading: Reading,
) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:
    """Decode files, in the order in which an archive has them; see `media.gather`."""
    wanted = reading.wanted(labels)
    places = [entry.at if isinstance(entry, ArchiveEntry) else 0 for entry in entries]
    order = np.argsort(np.array(places, dtype=np.int64), kind="stable")
    fetches = (partial(contents, entries[row], reading) for row in order)
    in_order = [names[row] for row in order]
    kind = domain_of_files(entries, reading)
    inputs, kept = gather(kind, fetches, labels[order], in_order, reading, wanted[order])
    rows = order[kept]
    decoded = order[wanted[order]] if reading.draws_ahead else rows
    back = np.argsort(decoded)
    if not (back[1:] > back[:-1]).all():
        inputs = inputs[torch.from_numpy(back)]
    return inputs, np.sort(rows)


def _images(folder: Entry, reading: Reading) -> list[Entry]:
    """List the images of one class by their names without the suffix."""
    folders, files = listing(folder, reading)
    if folders:
        raise DataError(
            f"{name_path(folders[0], reading.root)!r}: expected images in a class folder, found a "
            "folder; give the path of the folder whose folders are the classes"
        )
    images = []
    for file in files:
        if file.suffix.lower() in SUFFIXES:
            images.append(file)
            continue
        if file.stem.lower() == "metadata":  # of a data set whose folders are the classes
            reading.skipped.append(name_path(file, reading.root))
            continue
        other = f"expected {EXPECTED}, found another name; convert, rename or remove it"
        why, kind = way_out(file)
        reading.reject(name_path(file, reading.root), why or other, kind)
    if not images:
        name = name_path(folder, reading.root)
        reading.reject(name, "expected images in a class folder, found none; remove it or fill it")
    return sorted(images, key=lambda path: (path.stem, path.suffix))


def write(data: Dataset, names: tuple[str, ...], layout: Layout, folder: Path) -> tuple[str, ...]:
    """Write each input as folder/class/name.png or .wav; gives the names below the folder.

    Raises:
        DataError: where a class name cannot name a folder.
    """
    for name in data.classes:
        if not _usable(name):
            raise DataError(
                f"expected class names that can name a folder, found {name!r}; rename the class"
            )
    used: set[str] = set()
    written = []
    suffix = suffix_of(data.inputs)
    for each, label, name in zip(data.inputs, data.labels.tolist(), names, strict=True):
        below = _free(data.classes[label], Path(name).stem, suffix, used)
        target = folder / below
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(encode(each, layout))
        written.append(below)
    return tuple(written)


def _usable(name: str) -> bool:
    """Whether a name can be one folder or file, that reading would not pass over."""
    short = 0 < len(name.encode("utf-8", "replace")) <= 200
    return short and not no_data(name) and not set(name) & {"/", "\0", os.sep, os.altsep}


def _free(folder: str, stem: str, suffix: str, used: set[str]) -> str:
    """Find a file name that is not in use; a name that cannot be one becomes "png" or "wav"."""
    stem = stem if _usable(stem) and not NO_UNICODE.search(stem) else suffix[1:]
    name, number = f"{folder}/{stem}{suffix}", 2
    while name.lower() in used:
        name, number = f"{folder}/{stem}-{number}{suffix}", number + 1
    used.add(name.lower())
    return name
