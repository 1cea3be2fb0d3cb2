"""Where a table that names pictures has their classes.

In a column, in several columns of 0 and 1, or in the folders of the pictures.
Axes: n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mithridate.core.errors import DataError
from mithridate.domains.formats.columns import LABELS, choose
from mithridate.domains.formats.picture_index import Below, readable
from mithridate.domains.formats.source import UNLABELLED, Reading

SPLIT_COLUMNS = frozenset({"split", "subset", "partition", "data set", "dataset", "fold"})
BOXES = frozenset({"objects", "bbox", "bboxes", "boxes", "xmin", "x_min", "annotations"})


@dataclass(frozen=True, eq=False)
class Labelling:
    """Where the labels of a table come from: raw values [n], and the columns that held them."""

    raw: list[Any]
    columns: tuple[str, ...] = ()


def find_labels(
    columns: Sequence[str], column: str, rows: Sequence[dict[str, Any]], pictures: Sequence[Below],
    reading: Reading,
) -> Labelling:  # fmt: skip
    """Find the labels of the rows of a table, whose column `column` names the `pictures`."""
    left = [c for c in columns if c and c != column and c.lower() not in SPLIT_COLUMNS]
    folders = [each.name.split("/")[-2] if "/" in each.name else "" for each in pictures]
    usual = any(c.strip().lower() in LABELS for c in left)
    one_hot = _one_hot(left, rows) if reading.label is None and not usual else None
    if one_hot is not None:
        return one_hot
    by_folder = len(set(folders)) > 1 and all(folders)
    if reading.label is None and not usual and by_folder and not _only(left, rows):
        return Labelling([readable(name) for name in folders])
    boxes = sorted(c for c in left if c.lower() in BOXES)
    if boxes and reading.label is None and not usual:
        raise DataError(
            f"{str(reading.root)!r}: expected a class for each picture, found boxes (column "
            f"{boxes[0]!r}); detection sets are not read"
        )
    only = _only(left, rows)
    absent = not usual and only is None if reading.label is None else reading.label not in left
    if reading.unlabelled and absent:
        return Labelling([UNLABELLED] * len(rows))
    if not left:
        raise DataError(
            f"{str(reading.root)!r}: expected a class for each picture, found only their names "
            f"(column {column!r}); add a column label"
        )
    label = choose("label", reading.label, left, LABELS, reading, only)
    return Labelling([row.get(label) for row in rows], (label,))


def _only(left: Sequence[str], rows: Sequence[dict[str, Any]]) -> str | None:
    """The one column that is left, where its values come again as labels do."""
    if len(left) != 1:
        return None
    values = [str(row.get(left[0])) for row in rows]
    return left[0] if 2 * len(set(values)) <= len(values) + 2 else None


def _one_hot(left: Sequence[str], rows: Sequence[dict[str, Any]]) -> Labelling | None:
    """Read columns of 0 and 1, of which each row has a single 1, as the names of classes."""
    place = {"0": 0, "0.0": 0, "1": 1, "1.0": 1, "False": 0, "True": 1}
    bits = [c for c in left if all(str(row.get(c)).strip() in place for row in rows)]
    if len(bits) < 2 or not rows:
        return None
    hot = np.array([[place[str(row.get(c)).strip()] for c in bits] for row in rows])
    if (hot.sum(1) != 1).any():
        return None
    return Labelling([bits[at] for at in hot.argmax(1)], tuple(bits))
