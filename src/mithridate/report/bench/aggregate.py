"""Cells that differ in their seed alone, put together as one row of a table.

Axes: s seeds, n test inputs, k triggered test inputs.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median
from typing import Any, TypeAlias

from numpy.typing import NDArray

from mithridate.bench.record import AXES, Record
from mithridate.core.errors import DataError
from mithridate.report.bench.estimate import Estimate, over_seeds, pool, pool_difference
from mithridate.report.bench.wording import RESULTS, percent
from mithridate.report.quoting import shorten

Outcomes: TypeAlias = Callable[[str], Mapping[str, NDArray[Any]] | None]
"""By the key of a record: right bool[n], hit and recovered bool[k], test_ids and trap_ids."""

CONTROLS = ("none", "do-nothing", "random-filter", "perfect-filter")
"""In the order of tables."""

RATES = {"accuracy": ("right", "test_ids"), "asr": ("hit", "trap_ids"),
         "r_accuracy": ("recovered", "trap_ids")}  # fmt: skip
PAIRED = {"accuracy_reduction": ("right", "test_ids"), "asr_reduction": ("hit", "trap_ids")}


@dataclass(frozen=True, eq=False)
class Row:
    """Cells that differ in their seed alone.

    Attributes:
        cell: the axes, the seed aside.
        variant: what sets it apart from rows with the same axes.
        records: by seed.
        metrics: over the seeds that are done, or over void ones where none is.
    """

    cell: dict[str, Any]
    variant: str
    records: tuple[Record, ...]
    metrics: dict[str, Estimate]

    @cached_property
    def done(self) -> tuple[Record, ...]:
        """The cells that ended with a measurement."""
        return tuple(r for r in self.records if r.status == "done")

    @property
    def where(self) -> tuple[Any, ...]:
        """Task, network, precision and number of trusted examples."""
        return tuple(self.cell[axis] for axis in ("task", "network", "precision", "trusted"))

    @property
    def rate(self) -> float:
        """Share of the data that is poisoned."""
        return float(self.cell["rate"] or 0)

    @property
    def method(self) -> str:
        """The defence, with whatever else tells two of them apart."""
        name, tuning = str(self.cell["defence"]), self.cell["tuning"]
        name += "" if tuning == "default" else f" ({tuning})"
        return f"{name}, {self.variant}" if self.variant else name

    @property
    def attacked(self) -> str:
        """The attack and its rate."""
        return f"{self.cell['attack']}, {percent(self.cell['rate'])}"

    @property
    def oracle(self) -> bool:
        """Whether its settings were chosen on the truth."""
        return bool(self.cell["tuning"] == "oracle")

    @property
    def control(self) -> bool:
        """Whether it is no defence, but what defences are compared with."""
        return bool(self.cell["role"] == "control")

    @property
    def neighbour(self) -> bool:
        """Whether it belongs to the study of stability."""
        return bool(self.cell["role"] == "neighbour")

    @cached_property
    def results(self) -> Counter[str]:
        """How often it ended in which way, the worst first."""
        counts = Counter(
            (r.outcome or "undefended") if r.status == "done" else r.status for r in self.records
        )
        order = [*RESULTS, *sorted(set(counts) - set(RESULTS))]
        return Counter({name: counts[name] for name in order if counts[name]})

    @property
    def result(self) -> str:
        """The worst of its results: one destroyed network is never hidden by others."""
        return next(iter(self.results), "failed")

    @property
    def worded(self) -> str:
        """Its results with their counts where they differ."""
        if len(self.results) == 1:
            return self.result
        return ", ".join(f"{count}x {name}" for name, count in self.results.items())

    @property
    def why(self) -> tuple[str, ...]:
        """Why cells are not done, with the status where there are several.

        Reasons that differ in their numbers alone are told once; each cell has its own page.
        """
        missed = [r for r in self.records if r.status != "done"]
        several = len(self.results) > 1
        reasons: dict[str, str] = {}
        for r in missed:
            reason = f"{r.status}: " * several + (r.why or "no reason was given")
            reasons.setdefault(re.sub(r"[\d.]+", "#", reason), reason)
        return tuple(reasons.values())

    @property
    def alarms(self) -> tuple[int, int]:
        """Number of cells whose verdict is "flagged", and of those with a verdict."""
        answers = [r.verdict["answer"] for r in self.done if "answer" in r.verdict]
        return sum(answer == "flagged" for answer in answers), len(answers)

    def cost(self, name: str) -> float | None:
        """Median over the seeds of one cost; None where it was not measured."""
        costs = [r.cost[name] for r in self.done if r.cost.get(name) is not None]
        return float(median(costs)) if costs else None


def rows(records: Iterable[Record], outcomes: Outcomes | None = None) -> list[Row]:
    """Put together what differs in the seed alone, in the order of tables.

    Cells whose settings differ are never averaged, whatever their names.

    Args:
        outcomes: gives what became of every test input, for intervals over new seeds and new
            inputs.

    Raises:
        DataError: as `distinct` does.
    """
    kept = distinct(records)
    undefended = {_pairing_key(r): r for r in kept if r.cell.get("defence") == "none"}
    groups: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in kept:
        groups[(*_axes(record), _settings(record))].append(record)
    variants = _variants([group[0] for group in groups.values()])
    made = []
    for group in groups.values():
        ordered = tuple(sorted(group, key=lambda r: (str(r.cell.get("seed")).zfill(12), r.key)))
        cell = {a: ordered[0].cell.get(a, "") for a in AXES if a != "seed"}
        metrics = _metrics(ordered, undefended, outcomes)
        made.append(Row(cell, variants[group[0].key], ordered, metrics))
    return sorted(made, key=_order)


def distinct(records: Iterable[Record]) -> list[Record]:
    """Leave out records that are given twice.

    Raises:
        DataError: where two of a key differ, or two of different keys are about one cell.
    """
    records_by_key: dict[str, Record] = {}
    cells: dict[tuple[str, ...], str] = {}
    for record in records:
        if records_by_key.setdefault(record.key, record).cell != record.cell:
            raise DataError(f"two records have the key {record.key!r}; keep one of them")
        cell = (*_axes(record), repr(record.cell.get("seed")), _settings(record))
        if cells.setdefault(cell, record.key) != record.key:
            raise DataError(
                f"the cell {record.cell} has the records {cells[cell]!r} and {record.key!r}, as a "
                "store has whose code changed; give the records of one run of the sweep"
            )
    return list(records_by_key.values())


def clean_rows(records: Iterable[Record], outcomes: Outcomes | None = None) -> list[Row]:
    """Rows of clean twins; the twin is one network for all attacks and counts once a seed."""
    by_place: dict[tuple[str, ...], Record] = {}
    twins = (r for r in distinct(records) if not r.cell.get("rate"))
    for record in sorted(twins, key=lambda r: (r.status != "done", str(r.cell.get("attack")))):
        apart = (*_axes(record, "attack"), str(record.cell.get("seed")),
                 _settings(record, "attack"))  # fmt: skip
        by_place.setdefault(apart, record)
    bare = [
        replace(r, cell={**r.cell, "attack": ""},
                settings={n: v for n, v in r.settings.items() if n != "attack"})
        for r in by_place.values()
    ]  # fmt: skip
    return rows(bare, outcomes)


def _axes(record: Record, *but: str) -> tuple[str, ...]:
    return tuple(repr(record.cell.get(a)) for a in AXES if a not in ("seed", *but))


def _settings(record: Record, *but: str) -> str:
    kept = {n: v for n, v in record.settings.items() if n not in ("seed", *but)}
    return json.dumps(kept, sort_keys=True, default=str)


def _pairing_key(record: Record) -> tuple[str, ...]:
    """What a defended cell shares with the undefended one of the same seed."""
    own = ("defence", "tuning", "role")
    return (*_axes(record, *own), repr(record.cell.get("seed")), _settings(record, *own))


def _order(row: Row) -> tuple[Any, ...]:
    name = str(row.cell["defence"])
    control = CONTROLS.index(name) if row.control and name in CONTROLS else len(CONTROLS)
    return (tuple(map(str, row.where)), str(row.cell["attack"]), row.rate, not row.control,
            control, name, row.neighbour, str(row.cell["tuning"]), row.variant)  # fmt: skip


def _metrics(
    records: Sequence[Record], undefended: Mapping[tuple[str, ...], Record],
    outcomes: Outcomes | None,
) -> dict[str, Estimate]:  # fmt: skip
    """Every metric over the seeds; pooled over test inputs where their outcomes are known."""
    done = [r for r in records if r.status == "done"]
    measured = done or [r for r in records if r.status == "void"]
    names = dict.fromkeys(name for r in measured for name in r.metrics)
    estimates: dict[str, Estimate | None] = {
        name: over_seeds([r.metrics[name] for r in measured if name in r.metrics], name)
        for name in names
    }
    after = _known_outcomes(done, outcomes)
    if after:
        estimates |= {n: pool(after, *of) for n, of in RATES.items() if n in names}
        twins = [undefended.get(_pairing_key(r)) for r in done]
        before = _known_outcomes(twins, outcomes) if any(name in names for name in PAIRED) else []
        if before:
            estimates |= {n: pool_difference(before, after, *of)
                      for n, of in PAIRED.items() if n in names}  # fmt: skip
    return {name: estimate for name, estimate in estimates.items() if estimate is not None}


def _known_outcomes(
    records: Sequence[Record | None], outcomes: Outcomes | None
) -> list[Mapping[str, NDArray[Any]]]:
    """The outcomes of all records, or of none where one is missing."""
    if outcomes is None:
        return []
    answers = [None if record is None else outcomes(record.key) for record in records]
    known = [one for one in answers if one is not None]
    return known if len(known) == len(answers) else []


def _flatten(value: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {path: value}
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        flat |= _flatten(inner, f"{path}.{name}" if path else str(name))
    return flat


def _variants(firsts: list[Record]) -> dict[str, str]:
    """What sets rows of the same names apart, by the key of their first record."""
    alike: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in firsts:
        alike[_axes(record, "role")].append(record)
    variants = dict.fromkeys((r.key for r in firsts), "")
    for group in (g for g in alike.values() if len(g) > 1):
        for record in group:
            default = [r for r in group if r.cell.get("role") != "neighbour"] or group
            variants[record.key] = _difference(record, default)
    return variants


def _difference(record: Record, others: list[Record]) -> str:
    """Settings in which a record differs from any of the others."""
    own, known = _flatten(record.settings), [_flatten(r.settings) for r in others]
    apart = {
        path: value for path, value in own.items()
        if path not in ("seed", "role", "tuning") and any(k.get(path) != value for k in known)
    }  # fmt: skip
    told = ", ".join(f"{path.removeprefix('defence.')} = {value}" for path, value in apart.items())
    return shorten(told, 120)
