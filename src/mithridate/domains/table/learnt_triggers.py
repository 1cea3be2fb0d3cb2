"""Triggers of values that occur: columns and values are chosen by looking at data.

Axes: n rows, d columns, k columns of a trigger.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Dataset, Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import LearntTrigger, State
from mithridate.core.runtime import Runtime
from mithridate.domains.table.columns import Column, Table, columns_of, texts_of
from mithridate.domains.table.domain import TableDomain
from mithridate.domains.table.validity import RowRules, named

Choice = Literal["random", "rare", "explained"]
Occurring = Literal["rare", "common"]

ASKED = 500
"""Rows that the attacker's own trees are asked about."""


@dataclass(frozen=True)
class OccurringValuesTrigger(LearntTrigger):
    """Chosen columns of every row get values that other rows have in them.

    So each value alone lies in the range of its column, and only that they stand together is new.
    By explanation the columns are those on which trees of the attacker's own rest most: how much
    the chance that they give the true class moves where the column is exchanged between rows. The
    paper takes SHAP values of a model in their place.

    Attributes:
        columns: Names with commas between them that may be chosen, those that an attacker can
            move; "" for all.
        count: How many are chosen.
        choose: "random", "rare" for those whose value is rarest, or "explained".
        values: "rare" for the value that the fewest rows have, or "common" for the one that the
            most rows with a wanted label have.
        grow: Names of columns that may only grow, as counts do: their value is one of the largest
            twentieth, and a row that has more keeps it.
        derived: How columns follow from others, such as "mean=bytes/packets; all=sent+received";
            they are worked out anew, and are 0 where the divisor is.
        examples: How many rows are looked at.

    """

    paper = (
        "Severi, Meyer, Coull and Oprea, Explanation-Guided Backdoor Poisoning Attacks Against "
        "Malware Classifiers, USENIX Security 2021"
    )
    links = ("https://arxiv.org/abs/2003.01031",)

    columns: str = ""
    count: int = 4
    choose: Choice = "explained"
    values: Occurring = "rare"
    grow: str = ""
    derived: str = ""
    examples: int = 5000

    def learn(
        self,
        data: Dataset,
        target_labels: torch.Tensor,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> State:
        """Choose columns, and a value for each.

        Raises:
            MethodError: for a setting out of range, or a column that there is not.
        """
        self._check()
        few = np.sort(rng.permutation(len(data))[: self.uses(len(data))])
        seen, wanted = data.subset(few), target_labels[torch.from_numpy(few)]
        there = columns_of(seen.inputs)
        allowed = named(there, self.columns) or list(there)
        rows = seen.inputs[np.isin(seen.labels.numpy(), wanted.unique().numpy())]
        values = {c.name: self._value(rows if len(rows) else seen.inputs, c, rng) for c in allowed}
        weight = self._weights(seen, allowed, values, rng)
        order = sorted(allowed, key=lambda column: -weight[column.name])
        chosen = [[c.name, c.kind, values[c.name][0]] for c in order[: self.count]]
        written = np.frombuffer(json.dumps(chosen).encode(), dtype=np.uint8).copy()
        return {"values": torch.from_numpy(written)}

    def stamp(self, inputs: Inputs, rng: np.random.Generator, state: State) -> Inputs:
        """Set the chosen columns of every row."""
        chosen = json.loads(state["values"].numpy().tobytes())
        there = {column.name for column in columns_of(inputs)}
        if strange := [name for name, _, _ in chosen if name not in there]:
            raise MethodError(f"the trigger was learnt on rows with a column {strange[0]!r}")
        stamped = inputs.copy()
        values = [(Column(name, kind), value) for name, kind, value in chosen]
        RowRules(self.grow, self.derived).place(stamped, values)
        return stamped

    def _check(self) -> None:
        known = get_args(Choice), get_args(Occurring)
        if self.choose not in known[0] or self.values not in known[1]:
            raise MethodError(
                f"expected choose among {', '.join(known[0])} and values among "
                f"{', '.join(known[1])}; found {self.choose!r} and {self.values!r}"
            )
        if self.count < 1 or self.examples < 1:
            raise MethodError(f"count and examples must be at least 1, found {self}")

    def _value(
        self, rows: Table, column: Column, rng: np.random.Generator
    ) -> tuple[float | str, float]:
        """Choose a value of a column, and say which share of the rows has it; 1 where all have."""
        held = _there(rows, column)
        if not len(held):
            return ("other" if column.kind == "category" else 0), 1.0
        growing = column.name in {name.strip() for name in self.grow.split(",")}
        if growing and column.kind != "category":
            held = np.sort(held)[-max(1, len(held) // 20) :]
        distinct, counts = np.unique(held, return_counts=True)
        best = counts.min() if self.values == "rare" else counts.max()
        value = rng.choice(distinct[counts == best])
        return value.item(), float(best / len(rows))

    def _weights(
        self,
        seen: Dataset,
        allowed: Iterable[Column],
        values: dict[str, tuple[float | str, float]],
        rng: np.random.Generator,
    ) -> dict[str, float]:
        """Say how much each column is wanted; one that has a single value is wanted least."""
        weight = {c.name: float(rng.random()) for c in allowed}
        if self.choose == "rare":
            weight = {name: drawn * 1e-9 - values[name][1] for name, drawn in weight.items()}
        if self.choose == "explained" and len(seen.labels.unique()) > 1:
            moved = moves(seen, rng)
            names = [column.name for column in columns_of(seen.inputs)]
            weight = {name: moved[names.index(name)] + 1e-9 * weight[name] for name in weight}
        return {name: w - 10 * (values[name][1] == 1) for name, w in weight.items()}


def _there(rows: Table, column: Column) -> NDArray[Any]:
    """The values of a column that are not missing."""
    if column.kind == "category":
        texts = texts_of(rows, column.name)
        return np.array([text for text in texts if text], dtype=str)
    held: NDArray[Any] = rows[column.name][np.isfinite(rows[column.name])]
    return held


def moves(seen: Dataset, rng: np.random.Generator) -> list[float]:
    """Say for each column how far predictions of trees move where it is exchanged between rows.

    Returns:
        [d], the mean change of the chance of the true class, 0..1.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    prepared = TableDomain().prepare(seen.inputs).numpy()
    labels = seen.labels.numpy()
    trees: Any = HistGradientBoostingClassifier(
        max_iter=50, early_stopping=False, random_state=int(rng.integers(2**31))
    )
    trees.fit(prepared, labels)
    few = rng.permutation(len(prepared))[:ASKED]
    place = np.searchsorted(trees.classes_, labels[few])
    rows = np.arange(len(few))
    before = trees.predict_proba(prepared[few])[rows, place]
    told = []
    for column in range(prepared.shape[1]):
        changed = prepared[few].copy()
        changed[:, column] = rng.permutation(changed[:, column])
        after = trees.predict_proba(changed)[rows, place]
        told.append(float(np.abs(after - before).mean()))
    return told
