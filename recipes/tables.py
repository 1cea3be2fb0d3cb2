"""What recipes of sweeps share: from a store to tables and records under results/."""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from cells import RESULTS, markdown
from mithridate.bench.cell import Cell
from mithridate.bench.export import to_parquet
from mithridate.bench.plan import make_plan
from mithridate.bench.records import Outcomes, records
from mithridate.bench.store import Store
from mithridate.report.bench.aggregate import Row, clean_rows, rows
from mithridate.report.bench.estimate import Estimate
from mithridate.report.bench.leaderboard import stabilities
from mithridate.report.bench.markdown import markdown_table
from mithridate.report.bench.published import Publications
from mithridate.stats.intervals import mean, proportion

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
        if other is None or row.result == "pending":
            continue
        ours = [percent(row.metrics.get(n)) for n in ("accuracy", "asr")]
        theirs = [f"{100 * x:.1f}" for x in (other.accuracy, other.asr)]
        lines.append([row.attacked, row.method, row.worded, *ours, *theirs])
    header = ["attack", "defence", "ours ended", "our accuracy", "our ASR"]
    return markdown([*header, "published accuracy", "published ASR"], lines)


VISIBLE = ("stealth.psnr", "stealth.linf", "stealth.weights_relative")
"""How visible an attack is: larger is fainter for the first, and stronger for the others."""


def taken(table: list[Row]) -> str:
    """Which attacks take on undefended networks, and how visible they are."""
    lines = []
    for row in table:
        if str(row.cell["defence"]) != "none" or not row.rate:
            continue
        cells = [percent(row.metrics.get(name)) for name in ("asr", "accuracy", "r_accuracy")]
        seen = [row.metrics.get(name) for name in VISIBLE]
        ended = [r for r in row.records if math.isfinite(r.value("asr"))]
        took = sum(r.value("asr") >= 0.5 for r in ended)
        lines.append([
            row.attacked, *cells, f"{took}/{len(ended)}",
            *("" if found is None else f"{found.value:.3g}" for found in seen),
        ])  # fmt: skip
    header = ["attack", "ASR", "clean accuracy", "R-Acc", "took (ASR of 50 % or more)"]
    return markdown([*header, "PSNR", "largest change", "weights moved"], lines)


def overall(table: list[Row]) -> str:
    """Every defence over all attacks that took: what is left, what it costs, what returns."""
    lines = []
    for name, own in by_defence(table).items():
        cells = [
            over_attacks(own, metric)
            for metric in ("asr", "accuracy_reduction", "worst_class_reduction",
                           "reacquired_excess", "reacquired_asr", "reacquired_twin_asr")
        ]  # fmt: skip
        ended = Counter(r.outcome or "undefended" for row in own for r in row.done)
        costs = [c for row in own if (c := row.cost("cpu_seconds")) is not None]
        lines.append([
            name, str(len({str(row.cell["attack"]) for row in own})), *cells,
            ", ".join(f"{count} {outcome}" for outcome, count in sorted(ended.items())),
            f"{sum(costs) / len(costs):.1f}" if costs else "",
        ])  # fmt: skip
    header = ["defence", "attacks", "ASR", "accuracy lost", "worst class lost"]
    lesson = ["backdoor remembered", "ASR after a lesson", "the clean twin's"]
    return markdown([*header, *lesson, "networks", "CPU seconds"], lines)


def by_defence(table: list[Row]) -> dict[str, list[Row]]:
    """Rows of attacks that took, by defence, oracles and neighbours aside."""
    found: dict[str, list[Row]] = {}
    for row in table:
        if row.done and row.rate and not row.neighbour and not row.oracle:
            gated = [r for r in row.done if r.cell["defence"] != "none" or r.value("asr") >= 0.5]
            if gated:
                kept = replace(row, records=tuple(gated))
                found.setdefault(row.method, []).append(kept)
    return found


def over_attacks(own: list[Row], metric: str) -> str:
    """The mean over attacks of their means over seeds, with Student's interval over attacks.

    Shares end at 0 and 1, and so do their intervals; differences may be negative.
    """
    means = []
    for row in own:
        values = [v for r in row.done if math.isfinite(v := r.value(metric))]
        means += [sum(values) / len(values)] if values else []
    if not means:
        return ""
    if len(means) == 1:
        return f"{100 * means[0]:.1f}"
    found = mean(np.array(means))
    least, most = (0.0, 1.0) if metric.endswith("asr") else (-1.0, 1.0)
    low, high = max(found.low, least), min(found.high, most)
    return f"{100 * found.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


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
    plan = make_plan(sweep(), store)
    found, outcomes = records(plan, store), Outcomes(plan, store)
    table = rows(found, outcomes)
    parts = [markdown_table(found, outcomes), more(table), twins(clean_rows(found, outcomes))]
    home = RESULTS / name
    home.mkdir(parents=True, exist_ok=True)
    (home / "table.md").write_text("\n".join(parts))
    to_parquet(found, home / "records.parquet")
    print((home / "table.md").read_text())
