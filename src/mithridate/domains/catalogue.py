"""Data sets known by name: found in a folder, in the cache, or downloaded and checked.

Looked for under the folder in the environment variable MITHRIDATE_DATA, then in the user's cache,
each time as NAME/SPLIT.parquet or as the files of the official distribution; then downloaded from
the official place, where its SHA-256 is known.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import tempfile
import urllib.request
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import Layout, Source, read
from mithridate.domains.formats.idx import read_cifar, read_idx
from mithridate.domains.formats.npz import Details
from mithridate.domains.formats.source import Reading
from mithridate.domains.image.domain import ImageDomain

TIMEOUT = 30.0
"""Seconds without a byte after which a download is given up."""


@dataclass(frozen=True)
class Download:
    """A file at its official place, with its size in bytes and its SHA-256."""

    url: str
    size: int
    sha256: str

    @property
    def file(self) -> str:
        """Its name."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class NamedSet:
    """What is known about a named set.

    Attributes:
        splits: and what must be downloaded for each, nothing where no official file is pinned.
        flip: whether mirrored images are still of their class.
        classes: for files that do not name them.
        batches: the members of an archive that make up each split.
        groups_in_class: whether groups are numbered anew in each class, as the tracks of GTSRB are.
    """

    splits: dict[str, tuple[Download, ...]]
    flip: bool | None = False
    classes: tuple[str, ...] = ()
    batches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    groups_in_class: bool = False


def _idx(place: str, files: tuple[tuple[int, str], ...]) -> dict[str, tuple[Download, ...]]:
    names = (
        "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
    )  # fmt: skip
    downloads = [Download(place + n, *pinned) for n, pinned in zip(names, files, strict=True)]
    return {"train": tuple(downloads[:2]), "test": tuple(downloads[2:])}


CIFAR10 = Download(
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)

SETS = {
    "digits": NamedSet({"train": (), "test": ()}),
    "cifar10": NamedSet(
        {"train": (CIFAR10,), "test": (CIFAR10,)},
        flip=True,
        classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
                 "truck"),
        batches={"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
                 "test": ("test_batch.bin",)},
    ),
    "gtsrb": NamedSet({"train": (), "test": ()}, groups_in_class=True),
    "mnist": NamedSet(
        _idx("https://ossci-datasets.s3.amazonaws.com/mnist/", (
            (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        )),
        classes=tuple("0123456789"),
    ),
    "fashion-mnist": NamedSet(
        _idx("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", (
            (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        )),
        classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt",
                 "Sneaker", "Bag", "Ankle boot"),
    ),
    "sst2": NamedSet({"train": (), "validation": (), "test": ()}, flip=None),
    "ag-news": NamedSet({"train": (), "test": ()}, flip=None),
}  # fmt: skip


def is_named(text: str) -> bool:
    """Whether a string is the name of a set, and not a path."""
    return text in SETS


def domain_of(name: str) -> str:
    """The name of the domain of a named set; empty for a path, which must be read to tell."""
    if name not in SETS:
        return ""
    return "image" if SETS[name].flip is not None else "text"


def load_named(name: str, split: str = "train", download: bool = True) -> Source:
    """Give a named set: digits, cifar10, gtsrb, mnist, fashion-mnist, sst2 or ag-news.

    The digits come with scikit-learn: of each class, in their order, every fifth is for testing.

    Args:
        split: "train" or "test", of sst2 also "validation".
        download: whether the network may be used.

    Raises:
        DataError: where a name or split is unknown, or nothing was found: then it says which file
            to put where.
    """
    known = _known(name, split)
    if name == "digits":
        return _digits(split)
    for place in places():
        source = _find(place / name, known, split)
        if source is not None:
            return _with_domain(source, known)
    if not download or not known.splits[split]:
        raise DataError(_where_to_put(name, known, split))
    folder = places()[-1] / name
    for file in known.splits[split]:
        fetch(file, folder, _where_to_put(name, known, split))
    source = _find(folder, known, split)
    if source is None:
        raise DataError(_where_to_put(name, known, split))
    return _with_domain(source, known)


def _known(name: str, split: str) -> NamedSet:
    if name not in SETS:
        near = difflib.get_close_matches(name, SETS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DataError(f"unknown data set {name!r}: {hint}available: {', '.join(SETS)}")
    if split not in SETS[name].splits:
        splits = ", ".join(SETS[name].splits)
        raise DataError(f"{name} has no split {split!r}; its splits: {splits}")
    return SETS[name]


def places() -> list[Path]:
    """The folders to look in; the last one is the cache."""
    data = os.environ.get("MITHRIDATE_DATA")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return [*([Path(data)] if data else []), Path(cache).expanduser() / "mithridate"]


def _find(folder: Path, known: NamedSet, split: str) -> Source | None:
    """Read a split where its files are there."""
    columns = folder / f"{split}.parquet"
    if columns.is_file():
        return read(columns)
    files = [folder / file.file for file in known.splits[split]]
    if not files or not all(file.is_file() for file in files):
        return None
    if known.batches:
        return read_cifar(files[0], known.batches[split], known.classes)
    return read_idx(files[0], files[1], known.classes)


def _with_domain(source: Source, known: NamedSet) -> Source:
    if known.groups_in_class and source.groups is not None:
        pairs = torch.stack([source.data.labels, source.groups], dim=1)
        source = replace(source, groups=torch.unique(pairs, dim=0, return_inverse=True)[1])
    if known.flip is None:
        return source
    return replace(source, domain=ImageDomain(flip=known.flip))


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


def _digits(split: str) -> Source:
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
    source = Reading(Path("digits")).finish(
        "npz", torch.from_numpy(pixels), labels[rows], tuple("0123456789"),
        [f"digits row {row}" for row in rows], layout,
    )  # fmt: skip
    return _with_domain(source, SETS["digits"])
