"""What recipes of sweeps share: from a store to tables and records under results/."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from cells import RESULTS, markdown
from mithridate.bench.cell import Cell
from mithridate.bench.export import to_parquet
from mithridate.bench.plan import planned
from mithridate.bench.records import Outcomes, records
from mithridate.bench.store import Store
from mithridate.report.bench.aggregate import Row, clean_rows, rows
from mithridate.report.bench.estimate import Estimate
from mithridate.report.bench.leaderboard import stabilities
from mithridate.report.bench.markdown import markdown_table
from mithridate.report.bench.published import Publications
from mithridate.stats.intervals import proportion

FOUND = ("auroc_in_class", "tpr_5", "realised_tpr", "realised_fdr")
"""What is told of a detector, beside its verdicts."""


def percent(found: Estimate | None) -> str:
    """Write a share with its interval as percentages."""
    if found is None:
        return ""
    if not math.isfinite(found.low):
        return f"{100 * found.value:.1f}"
    return f"{100 * found.value:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def share(k: int, n: int) -> str:
    """Write k of n with the exact interval as percentages."""
    low, high = proportion(k, n)[1:3]
    return f"{k}/{n} [{100 * low:.0f}, {100 * high:.0f}]"


def detection(table: list[Row]) -> str:
    """How each detector ranks the poison, and what it flags, where the attack took."""
    lines = []
    for row in table:
        if row.done and row.rate and "realised_tpr" in row.metrics and not row.neighbour:
            cells = [percent(row.metrics.get(name)) for name in FOUND]
            verdicts = share(*row.alarms) if row.alarms[1] else ""
            lines.append([row.attacked, row.method, verdicts, *cells, str(len(row.done))])
    header = ["attack", "filter", "verdict: flagged", "AUROC in class", "TPR at 5 % FPR"]
    return markdown([*header, "poison flagged", "clean among flagged", "seeds"], lines)


def twins(table: list[Row]) -> str:
    """What each defence does where nothing is wrong, and what it costs."""
    lines = []
    for row in table:
        if row.done and not row.neighbour:
            costs = [row.cost(name) for name in ("seconds", "peak_mb", "forward", "backward")]
            trusted = row.cost("clean_samples")
            lines.append([
                row.method,
                share(*row.alarms) if row.alarms[1] else "",
                *(percent(row.metrics.get(n)) for n in ("accuracy_reduction", "realised_fpr",
                                                        "calibration_error")),
                *("" if c is None else f"{c:,.0f}" for c in costs),
                "" if trusted is None else f"{trusted:,.0f}",
            ])  # fmt: skip
    header = ["defence", "false alarms", "accuracy lost", "clean examples flagged"]
    costs = ["calibration error", "seconds", "peak MB", "forward", "backward", "trusted used"]
    return markdown([*header, *costs], lines)


def beside(table: list[Row]) -> str:
    """Ours and the published figure of the same attack, rate and defence."""
    known, lines = Publications(), []
    for row in table:
        other = known.beside(row)
        if other is None:
            continue
        ours = [percent(row.metrics.get(n)) for n in ("accuracy", "asr")]
        theirs = [f"{100 * x:.1f}" for x in (other.accuracy, other.asr)]
        lines.append([row.attacked, row.method, row.worded, *ours, *theirs])
    header = ["attack", "defence", "ours ended", "our accuracy", "our ASR"]
    return markdown([*header, "published accuracy", "published ASR"], lines)


def stable(table: list[Row]) -> str:
    """How far each defence's results move when one setting moves by one step (MAD-S)."""
    lines = []
    for moved in stabilities(table):
        where = " ".join(str(part) for part in moved.found.cell[-3:])
        measured = f"{100 * moved.found.score:.1f}", f"{100 * moved.found.worst:.1f}"
        lines.append([moved.defence, moved.measure, *measured, where, str(moved.settings)])
    header = ["defence", "measure", "MAD-S", "worst cell", "which (attack, rate, seed)"]
    return markdown([*header, "neighbouring settings"], lines)


def write(name: str, sweep: Callable[[], list[Cell]], more: Callable[[list[Row]], str]) -> None:
    """Write results/NAME/table.md and records.parquet from the store named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, default=Path("mithridate-bench"))
    store = Store(parser.parse_args().store)
    plan = planned(sweep())
    found, outcomes = records(plan, store), Outcomes(plan, store)
    table = rows(found, outcomes)
    parts = [markdown_table(found, outcomes), more(table), twins(clean_rows(found, outcomes))]
    home = RESULTS / name
    home.mkdir(parents=True, exist_ok=True)
    (home / "table.md").write_text("\n".join(parts))
    to_parquet(found, home / "records.parquet")
    print((home / "table.md").read_text())
