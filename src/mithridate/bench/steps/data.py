"""What an experiment is made on: suspect, trusted and test examples of a named set or a file."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from mithridate.bench.contents import split_digest
from mithridate.bench.step import SCHEMA, Given, Output, Step
from mithridate.bench.steps.examples import Examples, Split
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.catalogue import is_named, load_named, places
from mithridate.domains.formats import Source, read


class DataSeen(NamedTuple):
    """What the data turned out to be.

    Attributes:
        gave: Digest of all examples and of the domain's settings; empty where they cannot be read.
        domain: Class of the domain, None where they cannot be read.
    """

    gave: str
    domain: type | None


@dataclass(frozen=True, eq=False)
class Data(Examples):
    """Draw the examples of one seed.

    Its key is the digest of the examples: whatever reads them may be edited, and as long as they
    stay the same, so does every key that depends on them.

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

    @cached_property
    def seen(self) -> DataSeen:
        """What the data are; whoever plans with a store asks `remembering.py` instead."""
        return self.look()

    def look(self) -> DataSeen:
        """Read the data and take their digest."""
        try:
            split = self._draw()
        except Exception:  # whatever it is, the run meets it again, and says it
            return DataSeen("", None)
        return DataSeen(split_digest(split[:3], split.domain), type(split.domain))

    @cached_property
    def domain(self) -> type | None:
        """The class of the domain."""
        return self.seen.domain

    def name_by(self, name_of: Callable[[Step], str]) -> str:
        """The digest of what is given; what cannot be read is named by code and files."""
        if not self.seen.gave:
            return super().name_by(name_of)
        spelt = json.dumps([SCHEMA, self.kind(), self.seen.gave])
        return hashlib.blake2b(spelt.encode(), digest_size=16).hexdigest()

    def holds(self, value: Split) -> bool:
        """Whether the examples are those that the key was made of."""
        return split_digest(value[:3], value.domain) == self.seen.gave

    def outside(self) -> str:
        """Names, sizes and times of the files; empty where there are none on this machine."""
        return self._files

    @cached_property
    def _files(self) -> str:
        if self.name == "digits":
            return f"scikit-learn {importlib.metadata.version('scikit-learn')}"
        if is_named(self.name):
            return _describe_files(f for place in places() for f in (place / self.name).glob("*"))
        root = Path(self.name)
        return _describe_files([root] if root.is_file() else root.rglob("*"))

    def run(self, given: Given) -> Output:
        """Nothing is kept: the examples are on disk already."""
        return Output()

    def value(self, output: Output, given: Given) -> Split:
        """Draw the rows; suspects stay the same whatever the number of trusted examples.

        Raises:
            MethodError: where there are too few examples.
        """
        return self._draw()

    def _draw(self) -> Split:
        source, test = (source_of(self.name, split, self._files) for split in ("train", "test"))
        n = len(source.data)
        if source.data.labels.equal(test.data.labels) and digest(source) == digest(test):
            raise MethodError(
                f"{self.name!r} gives the same {n} examples to train and to test on; put them into "
                "a folder as two files, such as train.csv and test.csv"
            )
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


def digest(source: Source) -> str:
    """Give the digest of the examples of a source."""
    return split_digest([source.data], source.domain)


def _describe_files(paths: Iterable[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    files = sorted(path for path in paths if path.is_file())
    for file in files:
        known = file.stat()
        digest.update(f"{file}\n{known.st_size}\n{known.st_mtime_ns}\n".encode())
    return digest.hexdigest() if files else ""


@lru_cache(maxsize=4)
def source_of(name: str, split: str, files: str = "") -> Source:
    """Read one split of a named set, or of a file or folder.

    Args:
        files: what is known of the files, so that they are read again when they change.
    """
    if is_named(name):
        return load_named(name, split)
    return read(Path(name), split=split)
