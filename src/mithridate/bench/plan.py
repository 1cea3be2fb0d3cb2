"""What a sweep will do: its distinct steps in order, what is cached, how long the rest takes."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mithridate.bench.cell import Cell
from mithridate.bench.chain import build_chain
from mithridate.bench.execute import Workbench
from mithridate.bench.step import Step
from mithridate.bench.steps.data import Data
from mithridate.bench.steps.judge import Judge
from mithridate.bench.steps.train import Train, build_network
from mithridate.bench.store import Store
from mithridate.core.errors import DataError, MethodError
from mithridate.core.fit import fit
from mithridate.core.streams import stream
from mithridate.trainers.standard import Standard


@dataclass(frozen=True, eq=False)
class Plan:
    """The cells of a sweep and their distinct steps, parents first.

    Attributes:
        ends: the last step of each cell, in the order of the cells.
    """

    cells: tuple[Cell, ...]
    ends: tuple[Judge, ...]
    steps: tuple[Step, ...]

    def missing(self, store: Store) -> list[Step]:
        """The steps that have not ended; what is not whole on disk is removed and counts again."""
        known, missing = set(store.keys()), []
        for step in self.steps:
            if step.key in known:
                try:
                    store.entry(step.key)
                    continue
                except DataError:
                    store.remove(step.key)
            missing.append(step)
        return missing


def make_plan(cells: Iterable[Cell]) -> Plan:
    """Find the distinct steps of some cells; raises MethodError where a cell is asked twice."""
    kept = tuple(cells)
    interned: dict[str, Step] = {}
    order: list[Step] = []
    ends = []
    drawn: dict[tuple[Any, ...], Data] = {}
    for cell in kept:
        end = build_chain(cell, drawn)
        if end.key in interned:
            raise MethodError(f"the cell {dict(end.cell)} is asked for twice; ask once")
        _visit(end, interned, order)
        ends.append(end)
    return Plan(kept, tuple(ends), tuple(step for step in order if step.stored))


def _visit(step: Step, interned: dict[str, Step], order: list[Step]) -> None:
    if step.key not in interned:
        interned[step.key] = step
        for parent in step.parents:
            _visit(parent, interned, order)
        order.append(step)


@dataclass(frozen=True)
class Estimate:
    """How long the missing steps will take.

    Attributes:
        seconds: of one process.
        by_kind: number of missing steps and seconds of each kind.
        unknown: kinds of which nothing is known yet and that count as nothing.
    """

    seconds: float
    by_kind: dict[str, tuple[int, float]]
    unknown: tuple[str, ...]


def estimate(plan: Plan, store: Store, missing: Sequence[Step], probe: bool = True) -> Estimate:
    """Estimate from what like steps have cost in this store, or from a probe of the training.

    Like steps have the same kind and the same task.

    Args:
        probe: whether to time two batches of each network and task that was never trained here; it
            takes a second for each.
    """
    seen = _history(plan, store)
    rates: dict[str, float] = {}
    totals: dict[str, tuple[int, float]] = {}
    unknown = set()
    for step in missing:
        kind, task = step.kind(), _task(step)
        seconds = seen.get((kind, task)) or (seen.get(("train", task)) if step.heavy else None)
        if seconds is None and probe and step.heavy:
            if task not in rates:
                rates[task] = _probe(step, store)
            seconds = rates[task]
        if seconds is None:
            unknown.add(kind)
        count, total = totals.get(kind, (0, 0.0))
        totals[kind] = (count + 1, total + (seconds or 0.0))
    return Estimate(sum(s for _, s in totals.values()), totals, tuple(sorted(unknown)))


def _history(plan: Plan, store: Store) -> dict[tuple[str, str], float]:
    """Median seconds of each kind of step and task."""
    known = set(store.keys())
    costs: dict[tuple[str, str], list[float]] = defaultdict(list)
    for step in plan.steps:
        if step.key in known:
            entry = store.entry(step.key)
            if entry.status == "done":
                costs[step.kind(), _task(step)].append(entry.cost.get("seconds", 0.0))
    return {place: statistics.median(seconds) for place, seconds in costs.items()}


def _training(step: Step) -> Train | None:
    """The training that a step is about: the nearest one among those that it depends on."""
    queue = [step]
    while queue:
        here = queue.pop(0)
        if isinstance(here, Train):
            return here
        queue += here.parents
    return None


def _task(step: Step) -> str:
    """What makes two steps of a kind cost alike: data set, size, network and recipe."""
    train = _training(step)
    if train is None:
        return step.kind()
    data = train.data
    return repr((data.name, data.train, data.trusted, train.network, train.settings["trainer"]))


def _probe(step: Step, store: Store) -> float:
    """Time a few batches of a training, and count the rest from them."""
    train = _training(step)
    if train is None or not isinstance(train.trainer, Standard):
        return 0.0
    try:
        split = Workbench(store)(train.data)
        config = train.trainer.training
        few = split.suspects.subset(range(min(len(split.suspects), 3 * config.batch_size)))
        model = build_network(few, split, train.network, 0)
        short = replace(config, epochs=1)
        fit(model, few, split.domain, short, stream(0, "probe"))  # the first pass is slower
        began = time.perf_counter()
        fit(model, few, split.domain, short, stream(0, "probe"))
    except (DataError, MethodError):
        return 0.0  # it will be skipped, with the reason
    each = (time.perf_counter() - began) / len(few)
    return each * (len(split.suspects) + len(split.trusted)) * config.epochs


def summary(plan: Plan, missing: Sequence[Step]) -> dict[str, Any]:
    """Count cells and steps: all, distinct, cached."""
    left = {step.key for step in missing}
    done = sum(end.key not in left for end in plan.ends)
    return {
        "cells": len(plan.cells),
        "cells_done": done,
        "steps": len(plan.steps),
        "steps_cached": len(plan.steps) - len(left),
        "missing": dict(Counter(step.kind() for step in missing)),
    }
