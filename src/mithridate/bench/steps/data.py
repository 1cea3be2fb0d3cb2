"""What an experiment is made on: suspect, trusted and test examples of a named set or a file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from mithridate.bench.step import Given, Output, Step
from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.catalogue import is_named, load_named
from mithridate.domains.formats import Source, read


class Split(NamedTuple):
    """Disjoint suspects and trusted examples of the training split, and test examples."""

    suspects: Dataset
    trusted: Dataset
    test: Dataset
    domain: Domain


@dataclass(frozen=True, eq=False)
class Data(Step):
    """Draw the examples of one seed.

    Attributes:
        name: of a set, or a file or folder with splits.
        train: number of suspects, None takes all that are not trusted.
        trusted: number of trusted examples.
        test: number of test examples, None takes all, the same for every seed.
    """

    name: str
    train: int | None
    trusted: int
    test: int | None
    seed: int

    stored = False

    def outside(self) -> str:
        """Names, sizes and times of the files, where the data are no named set."""
        if is_named(self.name):
            return ""
        root = Path(self.name)
        files = sorted(f for f in ([root] if root.is_file() else root.rglob("*")) if f.is_file())
        digest = hashlib.blake2b(digest_size=16)
        for file in files:
            known = file.stat()
            place = file.relative_to(root).as_posix()
            digest.update(f"{place}\n{known.st_size}\n{known.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def run(self, given: Given) -> Output:
        """Nothing is kept: the examples are on disk already."""
        return Output()

    def value(self, output: Output, given: Given) -> Split:
        """Draw the rows; suspects stay the same whatever the number of trusted examples.

        Raises:
            MethodError: where there are too few examples.
        """
        source, test = source_of(self.name, "train"), source_of(self.name, "test")
        n = len(source.data)
        train = n - self.trusted if self.train is None else self.train
        if train < 1 or train + self.trusted > n:
            raise MethodError(
                f"{train} suspect and {self.trusted} trusted examples were asked for and "
                f"{self.name} has {n} to train on; ask for fewer"
            )
        order = stream(self.seed, "rows").permutation(n)
        fixed = stream(0, "test rows").permutation(len(test.data))[: self.test]
        return Split(
            source.data.subset(order[:train]),
            source.data.subset(order[n - self.trusted :]),
            test.data.subset(sorted(fixed)),
            source.domain,
        )


def join_trusted(suspects: Dataset, split: Split) -> Dataset:
    """Put the trusted examples behind the suspects: a defender trains on everything there is."""
    return concatenate(suspects, split.trusted) if len(split.trusted) else suspects


def copy_for_defence(data: Dataset) -> Dataset:
    """Copy a data set for a defence, since the next one gets the same whatever this one does."""
    return data.subset(range(len(data)))


@lru_cache(maxsize=4)
def source_of(name: str, split: str) -> Source:
    """Read one split of a named set, or of a file or folder."""
    if is_named(name):
        return load_named(name, split)
    return read(Path(name), split=split)
