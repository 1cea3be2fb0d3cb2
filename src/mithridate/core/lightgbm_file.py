"""The text in which LightGBM keeps its trees, read as data; the library is not asked.

Every size is known before anything of it is built, and whatever the text says that this reader does
not know is refused, since an answer by other rules would be another model's.
Axes: t trees, s splits of a tree, l leaves of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mithridate.core.errors import DataError
from mithridate.core.forest import AS_ZERO, IN_SET, NAN_MISSING, ZERO_MISSING, Tree, rounded_down

BYTES, TREES, NODES, WIDEST = 512 << 20, 20_000, 20_000_000, 1 << 19
"""The largest text, and the most trees, splits in all and codes of a set that are taken."""

BEGINS = "tree\n"
N = TypeVar("N", bound=np.generic)


@dataclass(frozen=True, eq=False)
class BoostedFile:
    """What such a text holds.

    Attributes:
        trees: t of them, round by round and class by class.
        columns: their names, in the order in which the trees count them.
        classes: how many classes the trees tell apart.
        scale: by what margins are multiplied before they are log-odds.
        categories: the values of each categorical column of a data frame, in the order in which
            the trees count them; None where the text does not say.
        averaged: whether rounds are averaged and not summed, as in a random forest.
        infos: what the text tells of the values of each column.
    """

    trees: tuple[Tree, ...]
    columns: tuple[str, ...]
    classes: int
    scale: float = 1.0
    categories: tuple[tuple[Any, ...], ...] | None = None
    averaged: bool = False
    infos: tuple[str, ...] = field(default=())


def read_lightgbm(content: str, where: str) -> BoostedFile:
    """Read a text of LightGBM.

    Args:
        content: All of it.
        where: What it is called in messages.

    Raises:
        DataError: where it is broken, larger than the bounds, or of trees that tell no classes.
    """
    head, *blocks = content.split("\nTree=")
    if not head.startswith(BEGINS) or len(head) > BYTES:
        raise DataError(f"{where}: expected a model as LightGBM writes it, found {head[:20]!r}")
    if len(blocks) > TREES:
        raise DataError(f"{where}: expected at most {TREES:,} trees, found {len(blocks):,}")
    told = _pairs(head)
    classes, scale = _classes(told, where)
    columns = tuple(told.get("feature_names", "").split(" "))
    if not _whole(told, "max_feature_idx", where) + 1 == len(columns) == len(set(columns)):
        raise DataError(f"{where}: expected a name for each column, found {len(columns)} names")
    splits, trees = 0, list[Tree]()
    for number, block in enumerate(blocks):
        body = block.partition("\nend of trees")[0]
        trees.append(_tree(_pairs(body), len(columns), f"{where}, tree {number}"))
        splits += len(trees[-1].column)
        if splits > NODES:
            raise DataError(f"{where}: expected at most {NODES:,} splits in all")
    rounds = _whole(told, "num_tree_per_iteration", where)
    if not trees or rounds != (classes if classes > 2 else 1) or len(trees) % rounds:
        raise DataError(f"{where}: expected trees for {classes} classes, found {len(trees)}")
    return BoostedFile(
        tuple(trees), columns, classes, scale, _categories(content), "average_output" in told,
        tuple(told.get("feature_infos", "").split(" ")),
    )  # fmt: skip


def _pairs(block: str) -> dict[str, str]:
    """The lines NAME=VALUE of a block; a line without a value has an empty one."""
    lines = (line.partition("=") for line in block.splitlines() if line.strip())
    return {name.strip(): value for name, _, value in lines}


def _classes(told: Mapping[str, str], where: str) -> tuple[int, float]:
    """How many classes the objective tells apart, and what its margins are multiplied by."""
    name, *settings = told.get("objective", "").split()
    given = dict(each.partition(":")[::2] for each in settings)
    if name in ("binary", "cross_entropy"):
        return 2, _number(given.get("sigmoid", "1"), where)
    if name in ("multiclass", "multiclassova"):
        classes = _whole(told, "num_class", where)
        if 2 < classes <= 10_000:
            return classes, _number(given.get("sigmoid", "1"), where)
    raise DataError(
        f"{where}: expected trees that tell classes apart (binary, multiclass, multiclassova), "
        f"found the objective {name!r}; a model of a number or a ranking has no classes"
    )


def _categories(content: str) -> tuple[tuple[Any, ...], ...] | None:
    """The values of categorical columns that the last line tells of a data frame."""
    place = content.rfind("\npandas_categorical:")
    if place < 0:
        return None
    try:
        told = json.loads(content[place:].partition(":")[2].strip().split("\n")[0])
    except (ValueError, RecursionError):
        return None
    lists = isinstance(told, list) and all(isinstance(each, list) for each in told)
    return tuple(tuple(each) for each in told) if lists else None


def _tree(told: Mapping[str, str], columns: int, where: str) -> Tree:
    """Read one tree, and see that every split and leaf is reached once."""
    leaves = _whole(told, "num_leaves", where)
    if not 1 <= leaves <= NODES or told.get("is_linear", "0").strip() not in ("", "0"):
        raise DataError(f"{where}: expected leaves that hold one number each, found others")
    s = leaves - 1

    def row(name: str, kind: type[N], size: int) -> NDArray[N]:
        return _row(told.get(name, ""), kind, size, f"{where}, {name}")

    value = row("leaf_value", np.float64, leaves)
    column, choice = row("split_feature", np.int64, s), row("decision_type", np.int64, s)
    raw = _row(told.get("threshold", ""), np.float64, s, f"{where}, threshold", endless=True)
    left, right = row("left_child", np.int64, s), row("right_child", np.int64, s)
    check_tree(column, left, right, leaves, columns, where)
    sets, missing = (choice & 1).astype(bool), choice >> 2
    if (missing < 0).any() or (missing > 2).any():
        raise DataError(f"{where}: expected known ways of missing values, found others")
    kind = np.where(sets, IN_SET, np.array([AS_ZERO, ZERO_MISSING, NAN_MISSING])[missing])
    codes = _sets(told, raw, sets, where)
    threshold = np.where(sets, np.float32(np.inf), rounded_down(raw))
    seen = row("leaf_count", np.float64, leaves) if "leaf_count" in told else np.ones(leaves)
    return Tree(
        column, threshold.astype(np.float32), kind.astype(np.int64), (choice & 2).astype(bool),
        left, right, value, codes, seen,
    )  # fmt: skip


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


def _sets(
    told: Mapping[str, str], raw: NDArray[np.float64], sets: NDArray[np.bool_], where: str
) -> tuple[NDArray[np.float32], ...]:
    """The codes that go left at each split, from words of 32 bits."""
    none = np.zeros(0, np.float32)
    if not sets.any():
        return (none,) * len(sets)
    many = _whole(told, "num_cat", where)
    bounds = _row(told.get("cat_boundaries", ""), np.int64, many + 1, f"{where}, cat_boundaries")
    if bounds[0] != 0 or (np.diff(bounds) < 0).any() or not 0 <= bounds[-1] <= WIDEST:
        raise DataError(f"{where}: expected sets one after the other, found others")
    masks = _row(
        told.get("cat_threshold", ""), np.uint32, int(bounds[-1]), f"{where}, cat_threshold"
    )
    which = np.where(sets, raw, 0).astype(np.int64)
    if ((which < 0) | (which >= many)).any():
        raise DataError(f"{where}: expected sets 0 to {many - 1}, found others")
    return tuple(
        _bits(masks[bounds[w] : bounds[w + 1]]) if one else none
        for w, one in zip(which, sets, strict=True)
    )


def _bits(masks: NDArray[np.uint32]) -> NDArray[np.float32]:
    """The places of the bits that are set in words of 32 bits."""
    bits = np.unpackbits(masks.astype("<u4").view(np.uint8), bitorder="little")
    return np.flatnonzero(bits).astype(np.float32)


def _row(given: str, kind: type[N], size: int, where: str, endless: bool = False) -> NDArray[N]:
    """Read so many numbers, all of them finite.

    Args:
        given: With spaces between them.
        kind: Of the numbers.
        size: How many they are.
        where: What they are called in messages.
        endless: Whether infinite ones are taken: what splits missing values off has such a bound.
    """
    parts = given.split()
    if len(parts) != size:
        raise DataError(f"{where}: expected {size} numbers, found {len(parts)}")
    try:
        made = np.array(parts, dtype=np.float64)
    except ValueError:
        raise DataError(f"{where}: expected numbers, found others") from None
    wrong = np.isnan(made) if endless else ~np.isfinite(made)
    if np.issubdtype(kind, np.integer):
        wrong = wrong | (made % 1 != 0) | (np.abs(made) > 2**53)
    if wrong.any():
        raise DataError(f"{where}: expected finite numbers in range, found others")
    return made.astype(kind)


def _number(given: str, where: str) -> float:
    return float(_row(given, np.float64, 1, where)[0])


def _whole(told: Mapping[str, str], name: str, where: str) -> int:
    return int(_row(told.get(name, ""), np.int64, 1, f"{where}, {name}")[0])
