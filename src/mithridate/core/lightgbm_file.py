"""The text in which LightGBM keeps its trees, read as data; the library is not asked.

Every size is known before anything of it is built, and whatever the text says that this reader does
not know is refused, since an answer by other rules would be another model's.
Axes: t trees, s splits of a tree, l leaves of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mithridate.core.boosted import (
    AS_ZERO,
    IN_SET,
    NAN_MISSING,
    NODES,
    TREES,
    ZERO_MISSING,
    BoostedFile,
    Tree,
    check_tree,
    trees_of_a_round,
)
from mithridate.core.errors import DataError

WIDEST = 1 << 19
"""Words of 32 bits of all sets of a tree, at most."""

BEGINS = "tree\n"
N = TypeVar("N", bound=np.generic)


def read_lightgbm(content: str, where: str) -> BoostedFile:
    """Read a text of LightGBM.

    Args:
        content: All of it.
        where: What it is called in messages.

    Raises:
        DataError: where it is broken, larger than the bounds, or of trees that tell no classes.
    """
    head, *blocks = content.split("\nTree=")
    if not head.startswith(BEGINS):
        raise DataError(f"{where}: expected a model as LightGBM writes it, found {head[:20]!r}")
    if len(blocks) > TREES:
        raise DataError(f"{where}: expected at most {TREES:,} trees, found {len(blocks):,}")
    told = _pairs(head)
    classes, scale = _classes(told, where)
    columns = tuple(told.get("feature_names", "").split(" "))
    if not _whole(told, "max_feature_idx", where) + 1 == len(columns) == len(set(columns)):
        raise DataError(f"{where}: expected a name for each column, found {len(columns)} names")
    trees = _trees(blocks, len(columns), where)
    speaking = trees_of_a_round(classes)
    if _whole(told, "num_tree_per_iteration", where) != speaking or len(trees) % speaking:
        raise DataError(f"{where}: expected trees for {classes} classes, found {len(trees)}")
    if "average_output" in told:
        scale *= speaking / len(trees)
    unnamed = all(name == f"Column_{place}" for place, name in enumerate(columns))
    return BoostedFile(
        trees, tuple(n % speaking for n in range(len(trees))), () if unnamed else columns, classes,
        (0.0,) * speaking, scale, _categories(content, trees, where), "LightGBM", _told(content),
    )  # fmt: skip


def _trees(blocks: list[str], columns: int, where: str) -> tuple[Tree, ...]:
    """Read all trees, at least one."""
    splits, trees = 0, list[Tree]()
    for number, block in enumerate(blocks):
        body = block.partition("\nend of trees")[0]
        trees.append(_tree(_pairs(body), columns, f"{where}, tree {number}"))
        splits += len(trees[-1].column)
        if splits > NODES:
            raise DataError(f"{where}: expected at most {NODES:,} splits in all")
    if not trees:
        raise DataError(f"{where}: expected trees, found none")
    return tuple(trees)


SETTINGS = {
    "learning_rate": "learning_rate", "num_leaves": "leaves", "min_data_in_leaf": "smallest_leaf",
    "lambda_l2": "shrinkage", "feature_fraction": "columns", "bagging_fraction": "rows",
}  # fmt: skip
"""LightGBM's parameters, and the settings of the trainer of this library that say the same."""


def _told(content: str) -> dict[str, str]:
    """What the file says of how its trees were grown."""
    place = content.rfind("\nparameters:")
    lines = re.findall(r"^\[(\w+): (\S+)\]$", content[place:] if place >= 0 else "", re.MULTILINE)
    return {SETTINGS[name]: value for name, value in lines if name in SETTINGS}


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


def _categories(
    content: str, trees: tuple[Tree, ...], where: str
) -> dict[int, tuple[Any, ...] | None]:
    """The values of each categorical column, which the last line tells of those of a data frame.

    A frame has one list for each of its categorical columns, in their order; `categorical_feature`
    among the parameters says which these are, and the splits say which of them are asked.
    """
    asked = {int(c) for tree in trees for c in tree.column[tree.kind == IN_SET]}
    place = content.rfind("\npandas_categorical:")
    line = content[place:].partition(":")[2].strip().split("\n")[0] if place >= 0 else "null"
    try:
        lists = json.loads(line)
    except (ValueError, RecursionError):
        raise DataError(f"{where}: expected categories as JSON, found others") from None
    if not lists:
        return dict.fromkeys(asked)
    told = re.findall(r"^\[categorical_feature: ([\d,]+)\]$", content, re.MULTILINE)
    places = [int(each) for each in told[-1].split(",")] if told else sorted(asked)
    fine = isinstance(lists, list) and all(isinstance(each, list) for each in lists)
    if not fine or len(lists) != len(places) or not asked <= set(places):
        raise DataError(
            f"{where}: expected the categories of the {len(places)} columns that are categorical, "
            "found those of others, so nobody can say which code is which"
        )
    return {place: tuple(values) for place, values in zip(places, lists, strict=True)}


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
    threshold = np.where(sets, np.inf, raw)
    seen = row("leaf_count", np.float64, leaves) if "leaf_count" in told else np.ones(leaves)
    return Tree(
        column, threshold, kind.astype(np.int64), (choice & 2).astype(bool) & ~sets,
        left, right, value, codes, seen,
    )  # fmt: skip


def _sets(
    told: Mapping[str, str], raw: NDArray[np.float64], sets: NDArray[np.bool_], where: str
) -> tuple[NDArray[np.float64], ...]:
    """The codes that go left at each split, from words of 32 bits."""
    none = np.zeros(0)
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


def _bits(masks: NDArray[np.uint32]) -> NDArray[np.float64]:
    """The places of the bits that are set in words of 32 bits."""
    bits = np.unpackbits(masks.astype("<u4").view(np.uint8), bitorder="little")
    return np.flatnonzero(bits).astype(np.float64)


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
