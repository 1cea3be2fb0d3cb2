"""Data sets known by name: found in a folder, in the cache, or downloaded and checked.

Looked for under the folder in the environment variable MITHRIDATE_DATA, then in the user's cache,
each time as NAME/SPLIT.parquet or as the files of the official distribution; then downloaded from
the official place, where its SHA-256 is known.
"""

from __future__ import annotations

import difflib
import hashlib
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import option
from mithridate.domains.formats import Layout, Source, read
from mithridate.domains.formats.idx import read_cifar, read_idx
from mithridate.domains.formats.npz import Details
from mithridate.domains.formats.source import Draw, Reading
from mithridate.domains.named_sets import (
    SETS,
    Download,
    NamedSet,
    describe_missing,
    domain_of,
    is_named,
    places,
)
from mithridate.domains.named_tables import TABLES, find_table
from mithridate.domains.registry import domain_named

__all__ = [
    "SETS", "Download", "NamedSet", "domain_of", "fetch", "is_named", "load_named",
    "open_source", "places",
]  # fmt: skip

TIMEOUT = 30.0
"""Seconds without a byte after which a download is given up."""


def open_source(
    where: str, split: str | None = None, *, unlabelled: bool = False, **options: Any
) -> Source:
    """Read a file, a folder or a named set, of which "cifar10:test" names a split.

    Args:
        where: The path or the name.
        split: Of a file, a folder or a set whose name says none.
        unlabelled: Whether labels may be absent.
        **options: How a file or a folder is read, see `read`.

    Raises:
        DataError: There is no such data, or a named set has another size than is asked for.
    """
    options["unlabelled"] = unlabelled
    if Path(where).exists():
        return read(where, split=split, **options)
    before, _, after = where.rpartition(":")
    name, part = (before, after) if before else (where, split)
    if before and Path(before).exists():
        return read(before, split=part, **options)
    if is_named(name):
        source = load_named(name, split=part or "train", **options)
        size, shape = options.get("size"), list(getattr(source.data.inputs, "shape", ()))[2:]
        if size is not None and shape != [size, size]:
            raise DataError(
                f"{where!r} is a named set and keeps its size {shape}; {option('size', size)} "
                "resizes files and folders of your own only"
            )
        return source
    raise DataError(describe_missing(where, name))


def load_named(
    name: str, split: str = "train", download: bool = True, draw: Draw | None = None,
    **options: Any,
) -> Source:  # fmt: skip
    """Give a named set of images, texts, sounds or rows of a table; `SETS` lists them.

    The digits come with scikit-learn: of each class, in their order, every fifth is for testing.

    Args:
        split: "train" or "test", of sst2 also "validation".
        download: whether the network may be used.
        draw: gives the rows to keep of so many examples that there are.
        **options: of a table: label, content, categories and without, see `read`.

    Raises:
        DataError: where a name or split is unknown, or nothing was found: then it says which file
            to put where.
    """
    known = _known(name, split)
    if name == "digits":
        return _digits(split, draw)
    if name in TABLES:
        return _table(name, split, draw, options)
    there = (_find(place / name, known, split, draw) for place in places())
    if (source := next((s for s in there if s is not None), None)) is not None:
        return _with_domain(source, known)
    if not download or not known.splits[split]:
        raise DataError(_where_to_put(name, known, split))
    return _with_domain(_fetched(name, known, split, draw), known)


def _table(name: str, split: str, draw: Draw | None, options: Mapping[str, Any]) -> Source:
    """Read a table from the first place that has it; raises DataError."""
    for place in places():
        source = find_table(place, name, split, draw, options)
        if source is not None:
            return source
    file = TABLES[name].files[split]
    raise DataError(
        f"{name} ({split}) was not found; put its file at "
        f"{' or '.join(str(place / file) for place in places())}; MITHRIDATE_DATA names the folder "
        "that holds the data sets"
    )


def _fetched(name: str, known: NamedSet, split: str, draw: Draw | None) -> Source:
    """Fetch a set into the last of the places and read it; raises DataError."""
    folder = places()[-1] / name
    for file in known.splits[split]:
        fetch(file, folder, _where_to_put(name, known, split))
    source = _find(folder, known, split, draw)
    if source is None:
        raise DataError(_where_to_put(name, known, split))
    return source


def _known(name: str, split: str) -> NamedSet:
    if name not in SETS:
        near = difflib.get_close_matches(name, SETS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(f"unknown data set {name!r}: {hint}available: {', '.join(SETS)}")
    if split not in SETS[name].splits:
        splits = ", ".join(SETS[name].splits)
        raise DataError(f"{name} has no split {split!r}; its splits: {splits}")
    return SETS[name]


def _find(folder: Path, known: NamedSet, split: str, draw: Draw | None) -> Source | None:
    """Read a split where its files are there."""
    columns = folder / f"{split}.parquet"
    if columns.is_file():
        return read(columns, draw=draw, seconds=known.seconds)
    files = [folder / file.file for file in known.splits[split]]
    if not files or not all(file.is_file() for file in files):
        return None
    if known.batches:
        return read_cifar(files[0], known.batches[split], known.classes, draw)
    return read_idx(files[0], files[1], known.classes, draw)


def _with_domain(source: Source, known: NamedSet) -> Source:
    if known.flip is None:
        return source
    return replace(source, domain=domain_named(known.domain, flip=known.flip))


def _where_to_put(name: str, known: NamedSet, split: str) -> str:
    files = [file.file for file in known.splits[split]]
    official = f", or {' and '.join(files)} from {known.splits[split][0].url}" if files else ""
    return (
        f"{name} ({split}) was not found in {' or '.join(str(p / name) for p in places())}; put "
        f"{split}.parquet there, in the layout of Hugging Face{official}; MITHRIDATE_DATA names "
        "the folder that holds the data sets"
    )


def fetch(file: Download, folder: Path, otherwise: str) -> Path:
    """Download a file into a folder, where it appears when it is complete and its hash is right.

    Args:
        otherwise: what to do without it.

    Raises:
        DataError: where it cannot be had.
        UnsafeData: where it is not the file that was expected.
    """
    target = folder / file.file
    if target.is_file():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=folder) as partial:
            path = Path(partial) / file.file
            with (
                urllib.request.urlopen(file.url, timeout=TIMEOUT) as response,
                path.open("wb") as out,
            ):
                digest = _copy(response, out, file)
            if digest != file.sha256:
                raise UnsafeData(
                    f"{file.url}: expected SHA-256 {file.sha256}, found {digest}; the file was "
                    f"thrown away. {otherwise}"
                )
            path.replace(target)
    except (OSError, HTTPException, ValueError) as error:  # URLError and timeouts are OSErrors
        raise DataError(f"{file.url}: could not be downloaded ({error}). {otherwise}") from None
    return target


def _copy(response: IO[bytes], out: IO[bytes], file: Download) -> str:
    """Copy a download of known size, and give its SHA-256."""
    digest, size = hashlib.sha256(), 0
    while chunk := response.read(2**20):
        size += len(chunk)
        if size > file.size:
            raise UnsafeData(f"{file.url}: expected {file.size} bytes, found more; it was left")
        digest.update(chunk)
        out.write(chunk)
    return digest.hexdigest()


def _digits(split: str, draw: Draw | None) -> Source:
    """The digits of scikit-learn: 8x8 grey, values 0..16 scaled to 0..255 and rounded."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    labels: np.ndarray[Any, Any] = digits.target.astype(np.int64)
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in range(10):
        rank[labels == label] = np.arange(int((labels == label).sum()))
    rows = np.flatnonzero((rank % 5 == 4) == (split == "test"))
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[rows, None]
    layout = Layout(
        file="data.npz", content="images", label="labels", spelling=tuple(range(10)),
        details=Details("NHW", "classes"),
    )  # fmt: skip
    source = Reading(Path("digits"), draw=draw).finish(
        "npz", torch.from_numpy(pixels), labels[rows], tuple("0123456789"),
        [f"digits row {row}" for row in rows], layout,
    )  # fmt: skip
    return _with_domain(source, SETS["digits"])
