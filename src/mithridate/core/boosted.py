"""Boosted trees as a file holds them: their splits as arrays, and what is said of their columns.

Axes: t trees, s splits of a tree, l leaves of it, c classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mithridate.core.errors import DataError

AS_ZERO, ZERO_MISSING, NAN_MISSING, IN_SET = 0, 1, 2, 3
"""What a split does: takes NaN for zero, sends zero and NaN, or NaN alone, where the missing go, or
asks whether the value is one of a set."""

TREES, NODES = 20_000, 20_000_000
"""The most trees of a file, and the most splits in all."""


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree: a split sends left what is at most its threshold, or in its set.

    Attributes:
        column: int64[s], which column each split reads.
        threshold: float64[s].
        kind: int64[s], what is done with missing values, or `IN_SET`.
        missing_left: bool[s], where the missing go.
        left: int64[s], the next split, or ~leaf.
        right: int64[s], likewise.
        value: float64[l], what a leaf adds to the margin.
        codes: by split, the values of its set, float64[k]; empty for a threshold.
        seen: float64[l], how many training examples reached each leaf, or what they weighed.
    """

    column: NDArray[np.int64]
    threshold: NDArray[np.float64]
    kind: NDArray[np.int64]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: NDArray[np.float64]
    codes: tuple[NDArray[np.float64], ...]
    seen: NDArray[np.float64]

    @property
    def surprise(self) -> NDArray[np.float64]:
        """What each leaf adds, times the logarithm of how rarely it is reached, float64[l]."""
        share = np.clip(self.seen, 1e-12, None) / max(self.seen.sum(), 1e-12)
        return np.asarray(-self.value * np.log(np.clip(share, 1e-9, 1)))

    @property
    def most_codes(self) -> int:
        """The size of its largest set."""
        return max(map(len, self.codes), default=0)


@dataclass(frozen=True, eq=False)
class BoostedFile:
    """What a file of boosted trees holds.

    Attributes:
        trees: t of them, in the order in which they were grown.
        of_class: for which class each speaks, t of them; all 0 where there are two classes, whose
            trees speak for the second against the first.
        columns: their names, in the order in which the trees count them; () where none are told.
        classes: how many classes the trees tell apart, c.
        base: margins that are added, one for each class that trees speak for.
        scale: by what margins are multiplied before they are log-odds.
        sets: by the number of a categorical column, its categories in the order of their codes;
            None where codes are the values themselves.
        writer: the library that wrote it.
        told: what its writer was told about growing the trees, as a trainer's settings.
    """

    trees: tuple[Tree, ...]
    of_class: tuple[int, ...]
    columns: tuple[str, ...]
    classes: int
    base: tuple[float, ...] = (0.0,)
    scale: float = 1.0
    sets: Mapping[int, tuple[Any, ...] | None] = field(default_factory=dict)
    writer: str = ""
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def leaves(self) -> int:
        """The leaves of the largest tree."""
        return max(len(tree.value) for tree in self.trees)

    @property
    def rounds(self) -> int:
        """How many rounds there were, as far as each grew a tree for every class."""
        return -(-len(self.trees) // trees_of_a_round(self.classes))


def check_tree(
    column: NDArray[np.int64], left: NDArray[np.int64], right: NDArray[np.int64], leaves: int,
    columns: int, where: str,
) -> None:  # fmt: skip
    """Refuse what is no tree: every split but the first, and every leaf, has one way to it.

    Raises:
        DataError: where a split reads a column that is not there, or the ways do not form a tree.
    """
    s = len(column)
    if s and (column.min() < 0 or column.max() >= columns):
        raise DataError(f"{where}: expected columns 0 to {columns - 1}, found others")
    ways = np.concatenate([left, right])
    inner, outer = np.sort(ways[ways >= 0]), np.sort(~ways[ways < 0])
    ordered = bool((left[left >= 0] > np.flatnonzero(left >= 0)).all()) and bool(
        (right[right >= 0] > np.flatnonzero(right >= 0)).all()
    )
    same = np.array_equal(inner, np.arange(1, s)) and (
        not s or np.array_equal(outer, np.arange(leaves))
    )
    if not same or not ordered:
        raise DataError(f"{where}: expected a tree, found splits that lead elsewhere")


def trees_of_a_round(classes: int) -> int:
    """How many trees a round of boosting grows: one, or one for each of more than two classes."""
    return classes if classes > 2 else 1


def rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Give the largest float32 that is not above each: then x <= t says the same of float32 x."""
    with np.errstate(over="ignore"):
        near = thresholds.astype(np.float32)
        return np.where(
            near.astype(np.float64) > thresholds, np.nextafter(near, np.float32(-np.inf)), near
        )
