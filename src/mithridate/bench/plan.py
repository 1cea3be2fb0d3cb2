"""What a sweep will do: its distinct steps in order, what is cached, how long the rest takes."""

from __future__ import annotations

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mithridate.bench.admission import admit
from mithridate.bench.cell import Cell
from mithridate.bench.chain import build_chain
from mithridate.bench.execute import Workbench
from mithridate.bench.known import adopt_all, stored_parents
from mithridate.bench.likeness import likenesses, task, training
from mithridate.bench.remembering import remember
from mithridate.bench.step import NotDone, Step
from mithridate.bench.steps.data import Data
from mithridate.bench.steps.judge import Judge
from mithridate.bench.steps.network import build_network
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
        """The steps that have not ended, parents first.

        What is not whole on disk is removed and counts again. What the store has under another key
        is given this one too, see `known.py`. Of the rest some may turn out to be known in the
        same way once the steps that they wait for have ended, so this is the most that is missing.
        """
        known, missing = set(store.keys()), []
        for step in self.steps:
            if step.key in known:
                try:
                    store.entry(step.key)
                    continue
                except DataError:
                    store.remove(step.key)
            missing.append(step)
        return adopt_all(missing, store)


def make_plan(cells: Iterable[Cell], store: Store | None = None) -> Plan:
    """Find the distinct steps of some cells; raises MethodError where a cell is asked twice.

    Keys depend on the examples, so the data are read;

    Args:
        store: remembers what they turned out to be.
    """
    kept = tuple(cells)
    interned: dict[str, Step] = {}
    order: list[Step] = []
    ends = []
    drawn: dict[tuple[Any, ...], Data] = {}
    for cell in kept:
        known = len(drawn)
        end = build_chain(cell, drawn)
        if store is not None and len(drawn) > known:
            remember(next(reversed(drawn.values())), store)
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
class TimeEstimate:
    """How long the missing steps will take.

    Attributes:
        seconds: Of one process that computes them all.
        by_kind: Number of missing steps and seconds of each kind.
        unknown: Kinds of which nothing is known yet and that count as nothing.
        longest: Seconds of the longest chain of steps of which each waits for the one before.
    """

    seconds: float
    by_kind: dict[str, tuple[int, float]]
    unknown: tuple[str, ...]
    longest: float = 0.0

    def clock(self, workers: int) -> float:
        """Seconds by the clock with so many processes."""
        return max(self.seconds / workers, self.longest)


def estimate(plan: Plan, store: Store, missing: Sequence[Step], probe: bool = True) -> TimeEstimate:
    """Estimate from what like steps have cost in this store, or from a probe of the training.

    What is known of the steps that are most alike counts, see `likenesses`.

    Args:
        probe: whether to time two batches of each network and task that was never trained here; it
            takes a second for each.
    """
    seen = _history(store)
    rates: dict[str, float] = {}
    totals: dict[str, tuple[int, float]] = {}
    unknown = set()
    ends: dict[str, float] = {}
    for step in missing:
        kind, seconds = step.kind(), _expect(step, seen)
        if seconds is None and probe and step.heavy:
            place = task(step)
            if place not in rates:
                rates[place] = _probe(step, store)
            seconds = rates[place]
        if seconds is None:
            unknown.add(kind)
        count, total = totals.get(kind, (0, 0.0))
        totals[kind] = (count + 1, total + (seconds or 0.0))
        before = [ends.get(parent.key, 0.0) for parent in stored_parents(step)]
        ends[step.key] = max(before, default=0.0) + (seconds or 0.0)
    spent = sum(s for _, s in totals.values())
    return TimeEstimate(spent, totals, tuple(sorted(unknown)), max(ends.values(), default=0.0))


def _expect(step: Step, seen: dict[str, float]) -> float | None:
    """Median seconds of the steps that are most like one; of its training, for what trains too."""
    train = training(step) if step.heavy else None
    names = [*likenesses(step), *(likenesses(train) if train is not None else [])]
    return next((seen[name] for name in names if name in seen), None)


def _history(store: Store) -> dict[str, float]:
    """Median seconds of all that was computed, by what it is like."""
    costs: dict[str, list[float]] = defaultdict(list)
    for key in list(store.keys()):
        try:
            entry = store.entry(key)
        except DataError:
            continue
        for name in entry.like if entry.status == "done" else ():
            costs[name].append(entry.cost.get("seconds", 0.0))
    return {name: statistics.median(seconds) for name, seconds in costs.items()}


def _probe(step: Step, store: Store) -> float:
    """Time a few batches of a training, and count the rest from them."""
    train = training(step)
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


def refusals(plan: Plan) -> dict[str, int]:
    """Why defences may not take part, with the number of cells that each reason will skip."""
    reasons: Counter[str] = Counter()
    for cell in plan.cells:
        if not isinstance(cell.defence, str):
            try:
                admit(cell.defence)
            except NotDone as refused:
                reasons[refused.why] += 1
    return dict(reasons)


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
