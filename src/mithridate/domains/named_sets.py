"""The data sets that are known by name, and where they are looked for; nothing is read here.

The command line asks before it imports what reads, which takes seconds.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field
from pathlib import Path


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
        domain: by its name.
        seconds: of every sound.
    """

    splits: dict[str, tuple[Download, ...]]
    flip: bool | None = False
    classes: tuple[str, ...] = ()
    batches: dict[str, tuple[str, ...]] = field(default_factory=dict)
    domain: str = "image"
    seconds: float | None = None


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
    "gtsrb": NamedSet({"train": (), "test": ()}),
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
    "sst2": NamedSet({"train": (), "validation": (), "test": ()}, flip=None, domain="text"),
    "ag-news": NamedSet({"train": (), "test": ()}, flip=None, domain="text"),
    "fsdd": NamedSet({"train": (), "test": ()}, flip=None, domain="sound", seconds=1.0),
    "nslkdd": NamedSet({"train": (), "test": ()}, flip=None, domain="table"),
    "unsw-nb15": NamedSet({"train": (), "test": ()}, flip=None, domain="table"),
    "clamp": NamedSet({"train": (), "test": ()}, flip=None, domain="table"),
}  # fmt: skip


def is_named(text: str) -> bool:
    """Whether a string is the name of a set, and not a path."""
    return text in SETS


def domain_of(name: str) -> str:
    """The name of the domain of a named set; empty for a path, which must be read to tell."""
    if name not in SETS:
        return ""
    return SETS[name].domain


def places() -> list[Path]:
    """The folders to look in; the last one is the cache."""
    data = os.environ.get("MITHRIDATE_DATA")
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return [*([Path(data)] if data else []), Path(cache).expanduser() / "mithridate"]


def describe_missing(where: str, name: str) -> str:
    """Say that something is neither a path nor a name, with the names that there are.

    Args:
        where: What was given.
        name: The part of it that may be a name.

    """
    near = difflib.get_close_matches(name, SETS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"{where!r}: no such file or folder, and no data set of that name; {hint}"
        f"named sets: {', '.join(SETS)}"
    )
