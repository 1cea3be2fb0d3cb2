"""A model that XGBoost kept as JSON or UBJSON, read as data; the library is not asked.

Axes: t trees, s splits of a tree, l leaves of it, c classes, m nodes of a tree.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mithridate.artifacts.ubjson import read_ubjson
from mithridate.core.boosted import (
    IN_SET,
    NAN_MISSING,
    NODES,
    TREES,
    BoostedFile,
    Tree,
    check_tree,
    trees_of_a_round,
)
from mithridate.core.errors import DataError

BINARY, MULTI = ("binary:logistic", "reg:logistic"), ("multi:softprob", "multi:softmax")
RAW = "binary:logitraw"
Told = Mapping[str, Any]


def read_xgboost(content: bytes, where: str) -> BoostedFile:
    """Read a model of XGBoost.

    Args:
        content: All of it, JSON or UBJSON.
        where: What it is called in messages.

    Raises:
        DataError: where it is broken, larger than the bounds, or of trees that tell no classes.
    """
    try:
        made = read_ubjson(content) if content[1:2] == b"L" else json.loads(content)
        return _boosted(made["learner"], where)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, OverflowError) as error:
        why = f"{type(error).__name__}: {str(error)[:80]}"
        raise DataError(f"{where}: expected a model of XGBoost, found none ({why})") from None


def _boosted(learner: Told, where: str) -> BoostedFile:
    """Read what the learner of a model says."""
    booster, told = learner["gradient_booster"], learner["learner_model_param"]
    weights: Sequence[float] = ()
    if booster["name"] == "dart":
        weights, booster = [float(each) for each in booster["weight_drop"]], booster["gbtree"]
    if booster["name"] != "gbtree":
        raise DataError(f"{where}: expected trees, found a booster called {booster['name']!r}")
    objective, columns = learner["objective"]["name"], int(told["num_feature"])
    classes = _classes(objective, int(told["num_class"]), where)
    model = booster["model"]
    trees = _trees(model["trees"], columns, weights, where)
    of_class = tuple(int(each) for each in model["tree_info"])
    speaking = trees_of_a_round(classes)
    if len(of_class) != len(trees) or not all(0 <= each < speaking for each in of_class):
        raise DataError(f"{where}: expected to be told the class of each tree, found others")
    names = tuple(str(name) for name in learner.get("feature_names", ()))
    if len(set(names)) not in (0, columns):
        raise DataError(
            f"{where}: expected a name for each of {columns} columns, found {names[:5]}"
        )
    return BoostedFile(
        trees, of_class, names, classes, _base(told["base_score"], objective, speaking, where),
        1.0, _sets(model.get("cats", {}), trees, where), "XGBoost",
    )  # fmt: skip


def _classes(objective: str, classes: int, where: str) -> int:
    """How many classes the objective tells apart."""
    if objective in (*BINARY, RAW):
        return 2
    if objective in MULTI and 2 <= classes <= 10_000:
        if classes == 2:
            raise DataError(
                f"{where}: two classes with a tree each are not read; use binary:logistic"
            )
        return classes
    raise DataError(
        f"{where}: expected trees that tell classes apart ({', '.join((*BINARY, RAW, *MULTI))}), "
        f"found the objective {objective!r}"
    )


def _base(score: Any, objective: str, speaking: int, where: str) -> tuple[float, ...]:
    """What is added to the margins of all examples.

    XGBoost keeps a probability where there are two classes, and margins where there are more.
    """
    values = [float(each) for each in str(score).strip("[] ").split(",")]
    values = values * speaking if len(values) == 1 else values
    if len(values) != speaking or not all(map(math.isfinite, values)):
        raise DataError(
            f"{where}: expected a base score for each margin, found {str(score)[:60]!r}"
        )
    if objective not in BINARY:
        return tuple(values)
    if not 0 < values[0] < 1:
        raise DataError(f"{where}: expected a probability as the base score, found {values[0]}")
    return (math.log(values[0] / (1 - values[0])),)


def _trees(
    held: Sequence[Told], columns: int, weights: Sequence[float], where: str
) -> tuple[Tree, ...]:
    """Read all trees, at least one."""
    if not 1 <= len(held) <= TREES or len(weights) not in (0, len(held)):
        raise DataError(f"{where}: expected 1 to {TREES:,} trees, found {len(held)}")
    trees, splits = [], 0
    for number, told in enumerate(held):
        weight = weights[number] if weights else 1.0
        trees.append(_tree(told, columns, weight, f"{where}, tree {number}"))
        splits += len(trees[-1].column)
        if splits > NODES:
            raise DataError(f"{where}: expected at most {NODES:,} splits in all")
    return tuple(trees)


def _tree(told: Told, columns: int, weight: float, where: str) -> Tree:
    """Read one tree, its splits by number as they are reached from the first."""
    if int(told["tree_param"].get("size_leaf_vector", "1")) > 1:
        raise DataError(f"{where}: expected leaves that hold one number each, found several")
    left, right = _whole(told, "left_children"), _whole(told, "right_children")
    number = np.asarray(told["split_conditions"], dtype=np.float64)
    if not len(left) == len(right) == len(number) or not np.isfinite(number).all():
        raise DataError(f"{where}: expected as many finite numbers as nodes, found others")
    inner, outer = _numbered(left, right, where)
    split = np.array(inner, dtype=np.int64)
    names = {node: place for place, node in enumerate(inner)}
    names |= {node: ~place for place, node in enumerate(outer)}
    low, high = (np.array([names[int(e)] for e in s[split]], np.int64) for s in (left, right))
    column = _whole(told, "split_indices")[split]
    check_tree(column, low, high, len(outer), columns, where)
    in_set = _whole(told, "split_type")[split] == 1 if "split_type" in told else split < 0
    default = _whole(told, "default_left")[split] != 0
    # what is in a set goes right here, and left in this library
    low, high = np.where(in_set, high, low), np.where(in_set, low, high)
    below = np.nextafter(number[split].astype(np.float32), np.float32(-np.inf))  # x < t
    return Tree(
        column, np.where(in_set, np.inf, below.astype(np.float64)),
        np.where(in_set, IN_SET, NAN_MISSING), default ^ in_set, low, high, number[outer] * weight,
        _codes(told, inner, in_set, where), np.asarray(told["sum_hessian"], np.float64)[outer],
    )  # fmt: skip


def _numbered(
    left: NDArray[np.int64], right: NDArray[np.int64], where: str
) -> tuple[list[int], list[int]]:
    """Give the nodes that split and those that are leaves, each as it is reached."""
    inner, outer, waiting = list[int](), list[int](), [0]
    for _ in range(len(left)):
        if not waiting:
            break
        node = waiting.pop(0)
        if left[node] < 0:
            outer.append(node)
            continue
        inner.append(node)
        waiting += [int(left[node]), int(right[node])]
        if max(waiting[-2:]) >= len(left) or min(waiting[-2:]) < 1:
            raise DataError(f"{where}: expected a tree, found splits that lead elsewhere")
    if waiting or len({*inner, *outer}) < len(inner) + len(outer):
        raise DataError(f"{where}: expected a tree, found splits that lead elsewhere")
    return inner, outer


def _whole(told: Told, name: str) -> NDArray[np.int64]:
    """Give a row of whole numbers. Raises ValueError where there are others."""
    held = np.asarray(told[name], dtype=np.float64)
    if held.ndim != 1 or not (np.abs(held) <= 2**53).all() or (held % 1 != 0).any():
        raise ValueError(f"expected whole numbers in {name}")
    return held.astype(np.int64)


def _codes(
    told: Told, inner: Sequence[int], in_set: NDArray[np.bool_], where: str
) -> tuple[NDArray[np.float64], ...]:
    """The codes that go right at each split."""
    none = np.zeros(0)
    if not in_set.any():
        return (none,) * len(inner)
    values = _whole(told, "categories")
    starts, sizes = _whole(told, "categories_segments"), _whole(told, "categories_sizes")
    nodes = [int(node) for node in told["categories_nodes"]]
    bad = (starts < 0) | (sizes < 0) | (starts + sizes > len(values))
    if not len(nodes) == len(starts) == len(sizes) or bad.any() or (values < 0).any():
        raise DataError(f"{where}: expected sets one after the other, found others")
    held = {
        node: values[start : start + size].astype(np.float64)
        for node, start, size in zip(nodes, starts, sizes, strict=True)
    }
    return tuple(held[node] if one else none for node, one in zip(inner, in_set, strict=True))


def _sets(cats: Told, trees: tuple[Tree, ...], where: str) -> dict[int, tuple[Any, ...] | None]:
    """The categories of each categorical column, in the order of their codes."""
    asked = {int(c) for tree in trees for c in tree.column[tree.kind == IN_SET]}
    made: dict[int, tuple[Any, ...] | None] = dict.fromkeys(asked)
    for place, told in enumerate(cats.get("enc", ())):
        if len(told["values"]):
            made[place] = _categories(told, where)
    return made


def _categories(told: Told, where: str) -> tuple[Any, ...]:
    """The categories of one column: numbers, or strings in one row of bytes."""
    values = np.asarray(told["values"])
    if "offsets" not in told:
        return tuple(values.tolist())
    ends = _whole(told, "offsets")
    if (np.diff(ends) < 0).any() or not len(ends) or ends[0] != 0 or ends[-1] != len(values):
        raise DataError(f"{where}: expected categories one after the other, found others")
    joined = values.astype(np.int8).tobytes()
    return tuple(joined[a:b].decode("utf-8") for a, b in pairwise(ends))
