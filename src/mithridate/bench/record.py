"""What comes out of a cell: one flat record, the only thing that reports read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from mithridate.core.errors import DataError
from mithridate.core.plain import finite
from mithridate.domains.catalogue import domain_of
from mithridate.stats.intervals import Interval

RECORD_SCHEMA = 2

AXES = (
    "domain", "task", "attack", "rate", "defence", "network", "precision", "trusted", "seed",
    "tuning", "role",
)  # fmt: skip
"""What names a cell; `role` is "defence", "control", or "neighbour" for studies of stability."""


@dataclass(frozen=True)
class Record:
    """One cell: where it stands, how it ended, what was measured and what it cost.

    Attributes:
        key: of the cell's last step.
        cell: the axes.
        settings: of the task, attack and defence in full.
        status: "done", "skipped", "void" or "failed", with the reason in `why`.
        metrics: value, low, high and n of each.
        per_class: lists over the classes.
        curves: lists over epochs or thresholds.
        outcome: "secure", "open", "destroyed" or "kept", see `comparing.py`.
        verdict: of a detector, its p-value and finest p-value.
        evidence: what the defence used.
        cost: of the defence's own steps, and `shared_seconds` of what it shares with others.
        origin: versions and processor.
    """

    key: str
    cell: dict[str, Any]
    settings: dict[str, Any]
    status: str
    why: str = ""
    metrics: dict[str, Interval] = field(default_factory=dict)
    per_class: dict[str, list[float]] = field(default_factory=dict)
    curves: dict[str, list[Any]] = field(default_factory=dict)
    outcome: str = ""
    verdict: dict[str, Any] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    cost: dict[str, float] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    schema: int = RECORD_SCHEMA

    def plain(self) -> dict[str, Any]:
        """The record as JSON holds it; what is not finite becomes None."""
        fields: dict[str, Any] = finite(asdict(self))
        fields["metrics"] = {name: finite(tuple(m)) for name, m in self.metrics.items()}
        return fields

    @classmethod
    def read(cls, fields: dict[str, Any]) -> Record:
        """Read a record of this or an older schema; raises DataError where it cannot be read."""
        try:
            known = migrate(fields)
            metrics = {n: _interval(m) for n, m in known.pop("metrics").items()}
            evidence = tuple(known.pop("evidence"))
            return cls(metrics=metrics, evidence=evidence, **known)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"a record cannot be read: {error!r}; run its cell again") from None

    def value(self, metric: str) -> float:
        """A metric's value; not a number where it was not measured."""
        return self.metrics[metric].value if metric in self.metrics else math.nan


Migration = Callable[[dict[str, Any]], dict[str, Any]]


def _with_domain(record: dict[str, Any]) -> dict[str, Any]:
    """Schema 1 did not name the domain of a cell."""
    task = record.get("settings", {}).get("task", {})
    data = task.get("data", "") if isinstance(task, dict) else ""
    cell = {"domain": domain_of(data), **record["cell"]}
    return {**record, "cell": cell, "schema": 2}


MIGRATIONS: dict[int, Migration] = {1: _with_domain}
"""How a record of one schema becomes one of the next, by the older number."""


def migrate(
    fields: dict[str, Any],
    migrations: dict[int, Migration] | None = None,
    newest: int = RECORD_SCHEMA,
) -> dict[str, Any]:
    """Bring a record to the newest schema, step by step.

    Raises:
        DataError: where its schema is newer, or no way leads from it.
    """
    known = MIGRATIONS if migrations is None else migrations
    record = dict(fields)
    while record.get("schema") != newest:
        old = record.get("schema")
        if not isinstance(old, int) or old not in known:
            raise DataError(
                f"a record has schema {old!r} and this version reads up to {newest}; use the "
                "version that wrote it"
            )
        record = known[old](record)
        if record.get("schema") != old + 1:
            raise DataError(f"the migration of schema {old} gave {record.get('schema')!r}")
    return record


def _interval(numbers: Iterable[Any]) -> Interval:
    value, low, high, n = numbers
    return Interval(
        math.nan if value is None else value,
        -math.inf if low is None else low,
        math.inf if high is None else high,
        n,
    )
