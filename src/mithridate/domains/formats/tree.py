"""A folder of images for each class."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.domains.formats.decoding import KINDS, SUFFIXES
from mithridate.domains.formats.images import encode, gather
from mithridate.domains.formats.source import Layout, Reading, Source
from mithridate.domains.formats.texts import NO_UNICODE
from mithridate.domains.formats.walk import contents, listing, name_path, no_data


def read(folder: Path, reading: Reading) -> Source:
    """Read the images in folder/class/; the classes are the sorted names of the folders.

    Raises:
        DataError: where a class folder holds folders, or anything but images.
    """
    reading.expect("image", "image folders")
    folders, files = listing(folder, reading)
    for file in files:
        reading.reject(
            name_path(file, reading.root),
            "expected only class folders here, found a file; move it into the folder of its "
            "class, or away",
        )
    by_name = sorted((Path(name_path(each, folder)).name, each) for each in folders)
    paths: list[Path] = []
    labels: list[int] = []
    for number, (_, each) in enumerate(by_name):
        images = _images(each, reading)
        paths += images
        labels += [number] * len(images)
    reading.count(len(paths), name_path(folder, reading.root))
    names = [name_path(path, reading.root) for path in paths]
    column = np.array(labels, dtype=np.int64)
    fetches = (partial(contents, path, reading) for path in paths)
    inputs, kept = gather(fetches, column, names, reading)
    classes = [name for name, _ in by_name]
    kept_names = [names[row] for row in kept]
    return reading.finish("tree", inputs, column[kept], classes, kept_names, Layout())


def _images(folder: Path, reading: Reading) -> list[Path]:
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
        reading.reject(
            name_path(file, reading.root),
            f"expected a picture ({KINDS}), found another name; convert, rename or remove it",
        )
    if not images:
        name = name_path(folder, reading.root)
        reading.reject(name, "expected images in a class folder, found none; remove it or fill it")
    return sorted(images, key=lambda path: (path.stem, path.suffix))


def write(data: Dataset, names: tuple[str, ...], folder: Path) -> tuple[str, ...]:
    """Write each image as folder/class/name.png; gives the names below the folder.

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
    for image, label, name in zip(data.inputs, data.labels.tolist(), names, strict=True):
        below = _free(data.classes[label], Path(name).stem, used)
        target = folder / below
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(encode(image))
        written.append(below)
    return tuple(written)


def _usable(name: str) -> bool:
    """Whether a name can be one folder or file, that reading would not pass over."""
    short = 0 < len(name.encode("utf-8", "replace")) <= 200
    return short and not no_data(name) and not set(name) & {"/", "\0", os.sep, os.altsep}


def _free(folder: str, stem: str, used: set[str]) -> str:
    """Find a file name that is not in use; a name that cannot be one becomes "image"."""
    stem = stem if _usable(stem) and not NO_UNICODE.search(stem) else "image"
    name, number = f"{folder}/{stem}.png", 2
    while name.lower() in used:
        name, number = f"{folder}/{stem}-{number}.png", number + 1
    used.add(name.lower())
    return name
