"""Tables known by name: which column is the label, which tell it too, and how one file is parted.

Axes: n rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mithridate.core.spelling import option
from mithridate.domains.formats import Source, read
from mithridate.domains.formats.source import Draw

PARTED = 2015
"""Seed of the shuffle that holds rows back for testing; it never changes."""

HELD = 0.2
"""Share of the distinct rows that is held back for testing."""


@dataclass(frozen=True)
class NamedTable:
    """What is known about a named table.

    Attributes:
        files: Where each split lies below the folder of data sets; one file for all is parted.
        labels: The columns that may be the label, the usual one first; the others are left out.
        without: Columns that are always left out.
        joined: What each label of a column is called, "" for all others, where classes are joined.
        notes: What is to be known about its splits.
    """

    files: Mapping[str, str]
    labels: tuple[str, ...]
    without: tuple[str, ...] = ()
    joined: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


TABLES = {
    "nslkdd": NamedTable(
        {"train": "tabular/nslkdd_train20.parquet", "test": "tabular/nslkdd_test.parquet"},
        ("attack",), ("difficulty",), {"attack": {"normal": "normal", "": "attack"}},
        {"test": "57 pairs of rows are equal but for the attack that they are said to be."},
    ),
    "unsw-nb15": NamedTable(
        dict.fromkeys(("train", "test"), "tabular/unsw_nb15.parquet"), ("label", "attack_cat"),
        ("id",),
    ),
    "clamp": NamedTable(
        dict.fromkeys(("train", "test"), "tabular/clamp_integrated.parquet"), ("class",),
        notes=dict.fromkeys(("train", "test"), "Class 1 is malware; the file is sorted by class."),
    ),
}  # fmt: skip


def find_table(
    place: Path, name: str, split: str, draw: Draw | None, options: Mapping[str, Any]
) -> Source | None:
    """Read a split of a named table below a folder; None where its file is not there.

    Args:
        place: The folder of data sets.
        name: Of the table.
        split: "train" or "test".
        draw: Gives the rows to keep of so many.
        options: What was asked for beside: label, content, categories, without.
    """
    known = TABLES[name]
    path = place / known.files[split]
    if not path.is_file():
        return None
    asked: dict[str, Any] = {
        key: options.get(key) for key in ("content", "categories", "keep_going")
    }
    asked["keep_going"] = bool(asked["keep_going"])
    label = options.get("label") or known.labels[0]
    given = options.get("without") or ()
    more = given.split(",") if isinstance(given, str) else list(given)
    left = [c for c in (*known.without, *known.labels) if c != label and c not in more]
    parted = len(set(known.files.values())) < len(known.files)
    joined = {} if options.get("label") else known.joined.get(label, {})
    source = read(
        path, domain="table", label=label, without=[*left, *more], draw=None if parted else draw,
        joined=joined, **asked,
    )  # fmt: skip
    source = _told(source, known, label, joined, split)
    if not parted:
        return source
    chosen = asked["content"] or asked["categories"] or more
    whole = _all_features(path, known) if chosen else source.data.inputs
    return _part(source, held_back(whole), split, draw)


def _all_features(path: Path, known: NamedTable) -> Any:
    """Read all columns, so that other ones that are chosen hold the same rows back."""
    left = [*known.without, *known.labels[1:]]
    return read(path, domain="table", label=known.labels[0], without=left).data.inputs


def _told(
    source: Source, known: NamedTable, label: str, joined: Mapping[str, str], split: str
) -> Source:
    """Say which column is the label, and how to take others."""
    notes = [known.notes[split]] if split in known.notes else []
    if joined:
        notes.append(
            f"The classes are {' and '.join(source.data.classes)}; {option('label', label)} takes "
            f"the names in column {label!r}."
        )
    notes += [
        f"Column {other!r} was left out: {option('label', other)} takes it."
        for other in known.labels
        if other != label
    ]
    return replace(source, notes=(*source.notes, *notes))


def _part(source: Source, held: NDArray[np.bool_], split: str, draw: Draw | None) -> Source:
    """Keep the rows of a split of a table that has one file for all."""
    rows = np.flatnonzero(held == (split == "test"))
    if draw is not None:
        rows = rows[draw(len(rows))]
    note = (
        f"The set has one file: a fifth of its distinct rows, with all that equal them, was drawn "
        f"for testing, always the same; this is its part for {split}ing."
    )
    return replace(source, data=source.data.subset(rows), part=split, notes=(*source.notes, note))


def held_back(inputs: Any) -> NDArray[np.bool_]:
    """Say which rows are held back for testing, bool[n]: equal ones are all, or none is.

    Args:
        inputs: A structured array [n].
    """
    known: dict[tuple[Any, ...], int] = {}
    rows = [known.setdefault(_key(row), len(known)) for row in inputs.tolist()]
    order = np.random.default_rng(PARTED).permutation(len(known))
    drawn = np.zeros(len(known), dtype=bool)
    drawn[order[: round(HELD * len(known))]] = True
    held: NDArray[np.bool_] = drawn[np.array(rows, dtype=np.int64)]
    return held


def _key(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give what equal rows share: values that are missing equal each other."""
    return tuple(None if value != value else value for value in row)
