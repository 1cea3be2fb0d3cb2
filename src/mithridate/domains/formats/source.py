"""What reading a data set asks for, meets on the way, and gives back.

Axes: n examples, k channels, h rows, w columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Dataset, Inputs
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError
from mithridate.core.spelling import option, raised
from mithridate.domains.registry import domain_named, domain_of_inputs


@dataclass(frozen=True)
class Limits:
    """What a data set from outside may cost before it is refused.

    Attributes:
        pixels: of one image, as its header declares.
        samples: of one sound in all its channels, as its header declares.
        file: bytes of one encoded image.
        text: characters of one text.
        rows: examples.
        total: bytes of all inputs in memory, and of whatever a file unpacks to.
        classes: how many there may be, also the largest number used as a label.
    """

    pixels: int = 2**25
    samples: int = 2**25
    file: int = 2**26
    text: int = 100_000
    rows: int = 5_000_000
    total: int = 2**33
    classes: int = 100_000


LIMITS = Limits()

Draw = Callable[[int], NDArray[np.int64]]
"""Of so many examples, gives the rows of those that are wanted, ascending."""

SUFFIXES = {
    ".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow", ".npz": "npz",
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
}  # fmt: skip
"""The formats that are one file or several of one kind, by the end of their names."""


UNLABELLED = "unlabelled"
"""The class of examples that were read without labels."""


@dataclass(frozen=True)
class Rejected:
    """An example that was not read, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Layout:
    """How the source was laid out, so that data can be written back the same way.

    Attributes:
        file: its name.
        columns: all of them, in order.
        content: the two that were read.
        label: the two that were read.
        spelling: how each class is written in the label column.
        rest: the rows of the other columns, by id.
        details: what only the format itself understands.
        rate: samples a second of sounds.
        joined: the columns of which each content was made, where there are several.
    """

    file: str = ""
    columns: tuple[str, ...] = ()
    content: str = ""
    label: str = ""
    spelling: tuple[Any, ...] = ()
    rest: Any = None
    details: Any = None
    rate: int = 0
    joined: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class OwnIds:
    """A column by which the source names its examples: its name and a value each, [n]."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Source:
    """A data set as it was found.

    Attributes:
        data: images uint8[n, k, h, w] with k = 1 or 3, sounds int16[n, t], or texts object[n]; ids
            are 0..n-1, or of drawn examples their rows among all that there are.
        domain: the one to use.
        names: of each example that there is, by its id, a path below the origin or "train.parquet
            row 17", rows counted from 0.
        rejected: single bad examples left out, on request only.
        format: "tree", "picture table", "webdataset", "parquet", "arrow", "npz", "csv", "tsv" or
            "jsonl".
        skipped: files passed over because their name says that they are no data.
        notes: what was decided on the way, one sentence each.
        own_ids: how the source itself names its examples, or None.
        part: which part of its files the examples are, "" for all of them.
    """

    data: Dataset
    domain: Domain
    names: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    format: str
    origin: Path
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    layout: Layout = Layout()
    own_ids: OwnIds | None = None
    part: str = ""


class TooFewSeen(DataError):
    """Drawn examples alone look like nothing: all must be decoded before that can be said."""


@dataclass
class Reading:
    """One reading of a data set: what was asked, and what was met on the way.

    Attributes:
        seconds: to which sounds are cut or filled up, None for what most of them last.
        rate: to which sounds are resampled, None for what most of them have.
        settings: of the domain, as what was read asks for.
    """

    root: Path
    domain: str = "auto"
    size: int | None = None
    label: str | None = None
    content: str | None = None
    split: str | None = None
    keep_going: bool = False
    limits: Limits = LIMITS
    delimiter: str | None = None
    header: bool | None = None
    columns: tuple[str, ...] = ()
    hidden: str | None = None
    unlabelled: bool = False
    draw: Draw | None = None
    categories: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    joined: Mapping[str, str] = field(default_factory=dict)
    ahead: bool = True
    seconds: float | None = None
    rate: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def reject(self, name: str, reason: str, kind: type[DataError] = DataError) -> None:
        """List a single bad example where that was asked for, and raise `kind` otherwise."""
        if not self.keep_going:
            way_out = f"{option('keep_going', True)} lists such examples and reads on"
            raise kind(f"{name!r}: {reason} ({way_out})")
        self.rejected.append(Rejected(name, reason))

    @property
    def draws_ahead(self) -> bool:
        """Whether examples are drawn before any is decoded.

        Where broken ones are left out, nobody knows how many there are before all were decoded.
        """
        return self.draw is not None and self.ahead and not self.keep_going

    def wanted(self, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which rows are decoded: those with a label that are drawn.

        Args:
            labels: int64[n], negative where a row has none.

        """
        good: NDArray[np.bool_] = labels >= 0
        if self.draw is None or not self.draws_ahead or not good.any():
            return good
        drawn = np.zeros(len(good), dtype=bool)
        drawn[np.flatnonzero(good)[self.draw(int(good.sum()))]] = True
        return drawn

    def expect(self, domain: str, format: str) -> None:
        """Refuse a format that cannot hold what was asked for."""
        if self.domain not in ("auto", domain):
            raise DataError(
                f"{str(self.root)!r}: expected data of domain {self.domain!r}, found {format}, "
                f"read as {domain}; leave the domain out or give other data"
            )

    def count(self, rows: int, name: str) -> None:
        """Refuse more examples than the limit."""
        if rows > self.limits.rows:
            raise DataError(
                f"{name!r}: expected at most {self.limits.rows} examples, found {rows}; "
                f"{raised('rows')}"
            )

    def finish(
        self, format: str, inputs: Inputs, labels: np.ndarray[Any, Any], classes: Sequence[str],
        names: Sequence[str], layout: Layout, own: OwnIds | None = None,
    ) -> Source:  # fmt: skip
        """Put together what was read: inputs[n], labels int64[n], names[n].

        Of drawn examples, those are kept; the inputs may be of these alone already.

        Raises:
            DataError: where nothing is left, or only one class where classes are needed.
        """
        present = np.unique(labels)
        if len(present) < 2 - self.unlabelled:
            there = f"only class {classes[present[0]]!r}" if len(present) else "no example"
            needed = "" if self.unlabelled else " of at least two classes"
            left = f", {len(self.rejected)} were rejected" if self.rejected else ""
            raise DataError(
                f"{str(self.root)!r}: expected examples{needed}, found {there}"
                f"{left}; check the path and the label column"
            )
        column = torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64))
        ids = torch.arange(len(column))
        if self.draw is not None:
            ids = torch.from_numpy(self.draw(len(column)))
            whole = len(inputs) == len(column)
            inputs = (
                inputs[ids if isinstance(inputs, torch.Tensor) else ids.numpy()]
                if whole
                else inputs
            )
        data = Dataset(inputs, column[ids], ids, tuple(classes))
        return Source(
            data=data,
            domain=self._domain_of(inputs),
            names=tuple(names),
            rejected=tuple(self.rejected),
            format=format,
            origin=self.root,
            skipped=tuple(self.skipped),
            notes=tuple(self.notes),
            layout=replace(layout, rate=self.settings.get("rate", 0)),
            own_ids=own,
        )

    def _domain_of(self, inputs: Inputs) -> Domain:
        """Give the domain of inputs, with the settings that what was read asks for."""
        domain = domain_of_inputs(inputs)
        return domain_named(domain.name, **self.settings) if self.settings else domain


def brief(value: object, length: int = 60) -> str:
    """Show a value from outside in a message: quoted, escaped and short."""
    shown = repr(value[: length + 1] if isinstance(value, str | bytes) else value)
    return shown if len(shown) <= length + 2 else shown[:length] + "..."
