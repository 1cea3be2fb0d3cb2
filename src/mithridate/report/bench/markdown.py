"""The main table of a benchmark as Markdown, for documents."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from mithridate.bench.record import Record
from mithridate.report.bench.aggregate import Outcomes, Row, clean_rows, rows
from mithridate.report.bench.plots import column_order
from mithridate.report.bench.wording import ABSENT, bounds, number, place
from mithridate.report.quoting import shorten, spell_invisible

LEGEND = (
    "Entries are ASR / clean accuracy in percent, means over n seeds, each with its 95 % interval; "
    "of clean twins the clean accuracy alone. A destroyed network lost 10 points of accuracy or "
    "more, and its ASR says nothing. Void: the attack did not take on the undefended network."
)


def markdown_table(records: Iterable[Record], outcomes: Outcomes | None = None) -> str:
    """Write one table for every task, network, precision and number of trusted examples.

    Lines are attacks at their rates, columns are defences, the controls first; those tuned on the
    truth stand last and say oracle. Neighbours of the study of stability are left out.
    """
    kept = [r for r in records if r.cell.get("role") != "neighbour"]
    table = [row for row in rows(kept, outcomes) if row.rate]
    clean = clean_rows(kept, outcomes)
    lines = []
    for where in dict.fromkeys(row.where for row in (*table, *clean)):
        inside = [row for row in table if row.where == where]
        twins = [row for row in clean if row.where == where]
        lines.append(f"{_safe(place(where))}\n\n{_table(inside, twins)}\n")
    return "\n".join([*lines, LEGEND, ""])


def _table(table: Sequence[Row], clean: Sequence[Row]) -> str:
    every = (*table, *clean)
    methods = list(dict.fromkeys(row.method for row in sorted(every, key=column_order)))
    at = {(row.attacked, row.method): _entry(row) for row in table}
    at |= {("clean twin", row.method): _entry(row) for row in clean}
    lines = [["attack", *map(_safe, methods)], ["---", *("---:" for _ in methods)]]
    for name in dict.fromkeys(name for name, _ in at):
        entries = (at.get((name, method), "not run") for method in methods)
        lines.append([_safe(name), *entries])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _entry(row: Row) -> str:
    """One entry; a row that is not done says why."""
    if row.result == "void" and not row.done:
        known = [_number(row, name) for name in ("asr", "accuracy") if name in row.metrics]
        return f"void: {' / '.join(known)}" if known else "void"
    if not row.done:
        return _safe(f"{row.worded}: {shorten(row.why[0], 160)}")
    parts = [_number(row, name) for name in (("asr", "accuracy") if row.rate else ("accuracy",))]
    said = "" if row.result in ("secure", "open", "kept", "undefended") else f"{row.worded}: "
    missing = len(row.records) - len(row.done)
    left = f", {missing} not done" if missing else ""
    return f"{_safe(said)}{' / '.join(parts)} (n={len(row.done)}{left})"


def _number(row: Row, metric: str) -> str:
    estimate = row.metrics.get(metric)
    if estimate is None:
        return ABSENT
    return f"{number(estimate.value, metric)} {bounds(estimate.low, estimate.high, metric)}".strip()


def _safe(text: str) -> str:
    """Leave nothing that Markdown or HTML would act on."""
    escaped = html.escape(spell_invisible(text), quote=False).replace("://", "&#58;//")
    return "".join(f"&#{ord(c)};" if c in "|`*_[]\\~" else c for c in escaped)
