"""Reading records, those of older schemas too.

It is no part of `record.py`, since the step that writes a record must not depend on what reads it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from mithridate.bench.record import RECORD_SCHEMA, Record
from mithridate.core.errors import DataError
from mithridate.domains.catalogue import domain_of
from mithridate.stats.intervals import Interval


def read_record(raw: dict[str, Any]) -> Record:
    """Read a record of this or an older schema; raises DataError where it cannot be read."""
    try:
        known = migrate(raw)
        metrics = {n: _interval(m) for n, m in known.pop("metrics").items()}
        evidence = tuple(known.pop("evidence"))
        return Record(metrics=metrics, evidence=evidence, **known)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"a record cannot be read: {error!r}; run its cell again") from None


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
    raw: dict[str, Any],
    migrations: dict[int, Migration] | None = None,
    newest: int = RECORD_SCHEMA,
) -> dict[str, Any]:
    """Bring a record to the newest schema, step by step.

    Raises:
        DataError: where its schema is newer, or no way leads from it.
    """
    known = MIGRATIONS if migrations is None else migrations
    record = dict(raw)
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
