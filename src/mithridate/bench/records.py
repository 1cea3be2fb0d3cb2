"""The records of a plan, one for each cell, whatever became of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mithridate.bench.migrations import read_record
from mithridate.bench.plan import Plan
from mithridate.bench.record import Record
from mithridate.bench.step import Step
from mithridate.bench.steps.judge import Judge
from mithridate.bench.store import Store
from mithridate.core.errors import DataError


def records(plan: Plan, store: Store) -> list[Record]:
    """Read a record for each cell; one that failed or was not run yet says so."""
    return [_record(end, store) for end in plan.ends]


def _record(end: Judge, store: Store) -> Record:
    if store.has(end):
        return read_record(store.facts(end.key))
    cell, settings = dict(end.cell), dict(end.described)
    failure = store.failure(end.key) or _nearest_failure(end, store)
    if failure:
        return Record(end.key, cell, settings, failure.get("status", "failed"), failure["why"])
    return Record(end.key, cell, settings, "pending", "not run yet")


def _nearest_failure(end: Step, store: Store) -> dict[str, Any] | None:
    """The failure of a step that the cell waits for."""
    queue = list(end.parents)
    while queue:
        step = queue.pop(0)
        if step.stored and store.has(step):
            continue
        failure = store.failure(step.key)
        if failure:
            return failure
        queue += step.parents
    return None


class Outcomes:
    """Hands out who was right, example by example, so that cells can be pooled and compared."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self._ends, self._store = {end.key: end for end in plan.ends}, store

    def __call__(self, key: str) -> dict[str, np.ndarray[Any, Any]] | None:
        """Give `right` by test_ids and `hit`, `recovered` by trap_ids; None where not measured."""
        end = self._ends.get(key)
        if end is None or not self._store.has(end.defended):
            return None
        try:
            tensors = self._store.output(end.defended.key).tensors
        except (OSError, DataError):
            return None
        return {name: tensor.numpy() for name, tensor in tensors.items()} or None
