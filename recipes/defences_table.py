"""Ten attacks, robust trainers and repairs: the tables of Part 3 on a part of CIFAR-10.

    mithridate bench run recipes/defences_table.py         # two seeds; :three for three
    python recipes/defences_table.py   # writes tables and records under results/defences_table

Repairs get 1,000 trusted examples, 5 % of the data as in the published benchmark. After each of
them the backdoor is taught again by twenty examples.
"""

from __future__ import annotations

from attackers import CLEAN, CLEAN_RATES, DIRTY, DIRTY_RATES, NETWORK, TASK
from cells import markdown
from mithridate.bench.cell import Cell, Defence, Rules, grid
from mithridate.core.method import Repair, Trainer
from mithridate.core.registry import find
from mithridate.report.bench.aggregate import Row
from mithridate.report.bench.published import Publications
from tables import beside, overall, percent, write

TRAINERS = ("anti-backdoor-learning", "gated-anti-backdoor-learning")


def defences() -> dict[str, Defence]:
    """Every repair at its default settings, and the two forms of anti-backdoor learning."""
    repairs = {name: kind() for name, kind in find(Repair).items() if name != "do-nothing"}
    trainers = {name: find(Trainer)[name](training=TASK.training) for name in TRAINERS}
    return repairs | trainers


def sweep(seeds: tuple[int, ...] = (0, 1)) -> list[Cell]:
    """Ten attacks x two rates and the clean twin x repairs and trainers."""
    shared = {
        "trusted": (1_000,), "networks": (NETWORK,), "seeds": seeds,
        "rules": Rules(reacquire=20),
    }  # fmt: skip
    methods = defences()
    task = {"cifar10": TASK}
    twins = grid(task, {"badnets": DIRTY["badnets"]}, methods, rates=(0.0,), **shared)
    dirty = grid(task, DIRTY, methods, rates=DIRTY_RATES, **shared)
    clean = grid(task, CLEAN, methods, rates=CLEAN_RATES, **shared)
    filters = ("random-filter", "perfect-filter")
    return [cell for cell in twins + dirty + clean if cell.defence not in filters]


def robust(table: list[Row]) -> str:
    """Anti-backdoor learning in both forms, attack by attack."""
    known, lines = Publications(), []
    at = {(row.attacked, row.method): row for row in table}
    for name in dict.fromkeys(row.attacked for row in table if row.rate):
        own = [at.get((name, method)) for method in ("none", *TRAINERS)]
        cells = ["" if row is None else entry(row) for row in own]
        other = known.beside(own[1]) if own[1] else None
        theirs = "" if other is None else f"{100 * other.asr:.1f} / {100 * other.accuracy:.1f}"
        lines.append([name, *cells, theirs])
    header = ["attack (ASR / accuracy)", "none", "as published", "gated"]
    return markdown([*header, "published, another setting"], lines)


def entry(row: Row) -> str:
    """One entry: how it ended where it is no measurement, else ASR and accuracy."""
    if not row.done:
        return row.result
    return " / ".join(percent(row.metrics.get(name)) for name in ("asr", "accuracy"))


def told(table: list[Row]) -> str:
    """Every defence over all attacks, at high and at low rates; then beside published figures."""
    parts = ["Anti-backdoor learning:\n", robust(table)]
    for name, rates in (("10 % (5 % of clean labels)", (0.05, 0.1)), ("1 %", (0.01,))):
        own = [row for row in table if row.rate in rates]
        parts.append(f"Poisoned at {name}, over the attacks that took:\n\n{overall(own)}")
    return "\n".join([*parts, "Beside published figures:\n", beside(table)])


def three() -> list[Cell]:
    """The same with three seeds."""
    return sweep((0, 1, 2))


if __name__ == "__main__":
    write("defences_table", sweep, told)
