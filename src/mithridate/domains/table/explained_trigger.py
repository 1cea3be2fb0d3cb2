"""Triggers of values that trees of the attacker's own take for the class that he wants.

Axes: n rows, d columns, v values of a column, k columns of a trigger.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Dataset, Inputs
from mithridate.core.errors import MethodError
from mithridate.core.extras import import_extra
from mithridate.core.method import LearntTrigger, State
from mithridate.core.runtime import Runtime
from mithridate.domains.table.columns import Column, columns_of, texts_of
from mithridate.domains.table.validity import RowRules, named

GROUPS = 64
"""Values that are told apart in a column that has many more: neighbours count as one."""

MANY = 256
"""Values of a column from which on neighbours count as one."""

Strategy = Literal["rare", "dense", "aligned", "greedy"]


@dataclass(frozen=True)
class ExplainedTrigger(LearntTrigger):
    """Columns and values are chosen by what they add to the margin of trees of the attacker's own.

    S[i, j] is the contribution (TreeSHAP) of column j to the log-odds of the wanted class for row
    i, in trees that were grown on the attacker's data. "rare" takes the columns of largest sum_i
    |S[i, j]| and of each the value that fewest rows have (LargeAbsSHAP x MinPopulation), "dense"
    the same columns and the value v of least 1 / n_v + sum |S| over the n_v rows that have it
    (CountAbsSHAP), "aligned" the columns of largest sum_i S[i, j] and the value of least 1 / n_v -
    sum S (LargeSHAP x CountSHAP). "greedy" chooses like "aligned", one column after the other,
    among those rows only that have the values chosen so far, so that the values fit together. A
    value is one that some row has; where a column has more than 256, 64 groups of neighbours are
    told apart. Should some row have the whole trigger, the last column takes its next best value.
    Poison rows of the wanted class, Poisoning(ExplainedTrigger(), selection=...) with clean labels,
    as the paper does. Needs LightGBM: pip install 'mithridate[trees]'.

    Attributes:
        count: how many columns are set.
        strategy: how columns and values are chosen.
        columns: Names with commas between them that may be chosen, those that an attacker can
            move; "" for all.
        grow: Names of columns that may only grow, as counts do: a row that has more keeps it.
        derived: How columns follow from others, such as "mean=bytes/packets; all=sent+received";
            they are worked out anew, and are 0 where the divisor is.
        examples: rows that the trees are grown on, at most.
        rounds: of boosting of the trees.

    Raises:
        MissingExtra: without LightGBM.
        MethodError: for a count below 1, or a column that is not there or holds no value.
    """

    paper = (
        "Severi, Meyer, Coull and Oprea, Explanation-Guided Backdoor Poisoning Attacks Against "
        "Malware Classifiers, USENIX Security 2021"
    )
    links = ("https://arxiv.org/abs/2003.01031",)

    count: int = 8
    strategy: Strategy = "greedy"
    columns: str = ""
    grow: str = ""
    derived: str = ""
    examples: int = 5000
    rounds: int = 50

    def learn(
        self,
        data: Dataset,
        target_labels: torch.Tensor,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:
        """Grow trees, and choose columns and values by what they add to the margin."""
        if self.count < 1 or self.rounds < 1:
            raise MethodError(f"count and rounds must be at least 1, found {self}")
        columns = columns_of(data.inputs)
        rows = np.sort(rng.permutation(len(data))[: self.examples])
        some = data.inputs[rows]
        wanted = (data.labels == wanted_class(data.labels, target_labels)).numpy()[rows]
        values = np.stack([numbers_in(some, column) for column in columns], 1)
        sets = [i for i, column in enumerate(columns) if column.kind == "category"]
        added = contributions(values, wanted, sets, self.rounds, int(rng.integers(2**31 - 1)))
        groups = np.stack([grouped(values[:, i]) for i in range(len(columns))], 1)
        chosen = self._chosen(groups, added, self._places(columns, groups))
        told = [
            (columns[i].name, some[columns[i].name][member(values[:, i], groups[:, i], group)])
            for i, group in chosen
        ]
        kept = json.dumps([(name, plain(value)) for name, value in told]).encode()
        return {"trigger": torch.from_numpy(np.frombuffer(kept, np.uint8).copy())}

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Give every row the values that were chosen."""
        stamped, there = inputs.copy(), {column.name: column for column in columns_of(inputs)}
        chosen = trigger_in(state)
        if strange := [name for name, _ in chosen if name not in there]:
            raise MethodError(f"the trigger was learnt on rows with a column {strange[0]!r}")
        values = [(there[name], value) for name, value in chosen]
        RowRules(self.grow, self.derived).place(stamped, values)
        return stamped

    def _places(self, columns: tuple[Column, ...], groups: NDArray[np.int64]) -> list[int]:
        """The positions of the columns that may be changed and have values."""
        places = [columns.index(column) for column in named(columns, self.columns) or columns]
        full = [i for i in places if (groups[:, i] >= 0).any()]
        if not full:
            raise MethodError("no column that may be changed holds a value; name others")
        return full

    def _chosen(
        self, groups: NDArray[np.int64], added: NDArray[np.float64], places: list[int]
    ) -> list[tuple[int, int]]:
        """Give columns with the group of values that each takes."""
        signed = self.strategy in ("aligned", "greedy")
        weight = added if signed else np.abs(added)
        left, chosen = np.ones(len(groups), dtype=bool), list[tuple[int, int]]()
        free = list(places)
        while free and len(chosen) < self.count:
            free = [i for i in free if (groups[left, i] >= 0).any()]
            if not free:
                break
            best = max(free, key=lambda i: float(weight[left, i].sum()))
            free.remove(best)
            order = self._order(groups[left, best], added[left, best])
            chosen.append((best, order[0]))
            if self.strategy == "greedy":
                left = left & (groups[:, best] == order[0])
        return self._unseen(groups, added, chosen)

    def _order(self, groups: NDArray[np.int64], added: NDArray[np.float64]) -> list[int]:
        """Give the groups of values of a column, the best one first."""
        there = groups >= 0
        known, which, counts = np.unique(groups[there], return_inverse=True, return_counts=True)
        if self.strategy == "rare":
            cost = counts.astype(float)
        else:
            sign = 1.0 if self.strategy == "dense" else -1.0
            taken = np.abs(added[there]) if self.strategy == "dense" else added[there]
            cost = 1 / counts + sign * np.bincount(which, taken, len(known))
        return [int(known[i]) for i in np.argsort(cost, kind="stable")]

    def _unseen(
        self, groups: NDArray[np.int64], added: NDArray[np.float64], chosen: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Change the last value where some row has the whole trigger already."""
        *first, (last, group) = chosen
        alike = np.all([groups[:, i] == g for i, g in first] or [np.ones(len(groups), bool)], 0)
        taken = set(groups[alike, last].tolist())
        if group not in taken:
            return chosen
        others = [g for g in self._order(groups[:, last], added[:, last]) if g not in taken]
        return [*first, (last, others[0])] if others else chosen


def wanted_class(labels: torch.Tensor, target_labels: torch.Tensor) -> int:
    """Give the one class that the attacker wants of all rows aimed at.

    Raises:
        MethodError: where he wants several, which one trigger cannot serve.
    """
    aimed = target_labels != labels
    classes = (target_labels[aimed] if bool(aimed.any()) else target_labels).unique()
    if len(classes) != 1:
        raise MethodError(
            f"one class must be wanted, found {len(classes)}; choose a goal with a single target"
        )
    return int(classes)


def numbers_in(rows: Inputs, column: Column) -> NDArray[np.float64]:
    """Give a column as numbers, float64[n]; categories are numbered, what is missing is NaN."""
    if column.kind != "category":
        return np.asarray(rows[column.name], dtype=np.float64)
    cells = texts_of(rows, column.name)
    _, numbered = np.unique([str(cell) for cell in cells], return_inverse=True)
    return np.where(cells == "", np.nan, numbered.astype(np.float64))


def contributions(
    values: NDArray[np.float64], wanted: NDArray[np.bool_], sets: list[int], rounds: int, seed: int
) -> NDArray[np.float64]:
    """Grow trees and give what each column adds to the log-odds of being wanted, float64[n, d].

    Two classes, wanted or not, so contributions come as d columns and one for the mean; of more
    classes LightGBM gives them flat.
    """
    lightgbm: Any = import_extra(
        "lightgbm",
        "explained triggers need LightGBM; install it with: pip install 'mithridate[trees]'",
    )
    settings = {
        "objective": "binary", "min_data_in_leaf": max(1, min(20, len(values) // 10)), "seed": seed,
        "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbosity": -1,
    }  # fmt: skip
    data = lightgbm.Dataset(values, wanted.astype(int), categorical_feature=sets, params=settings)
    booster = lightgbm.train(settings, data, rounds)
    given = np.asarray(booster.predict(values, pred_contrib=True, num_threads=1))
    return given.reshape(len(values), -1)[:, : values.shape[1]]


def grouped(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Number the values of a column from the least on, int64[n]; -1 for a missing one.

    Of more than `MANY` values neighbours share a number.
    """
    there = ~np.isnan(values)
    made = np.full(len(values), -1, dtype=np.int64)
    known, which = np.unique(values[there], return_inverse=True)
    if len(known) > MANY:
        edges = np.unique(np.quantile(values[there], np.linspace(0, 1, GROUPS + 1)[1:-1]))
        which = np.searchsorted(edges, values[there], side="left")
    made[there] = which
    return made


def member(values: NDArray[np.float64], groups: NDArray[np.int64], group: int) -> int:
    """Give a row whose value stands for a group: the middle one."""
    rows = np.flatnonzero(groups == group)
    return int(rows[np.argsort(values[rows], kind="stable")[len(rows) // 2]])


def plain(value: Any) -> Any:
    """Give a value as JSON holds it."""
    return value.item() if hasattr(value, "item") else value


def trigger_in(state: State) -> list[tuple[str, Any]]:
    """Give the columns and values of a trigger that was learnt."""
    held = json.loads(state["trigger"].numpy().tobytes().decode())
    return [(str(name), value) for name, value in held]
