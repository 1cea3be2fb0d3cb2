"""Verdicts about models with error rates: scanners on clean and on backdoored networks.

    mithridate bench run recipes/model_verdicts.py
    mithridate bench run recipes/model_verdicts.py:odd   # clean networks made in another way
    python recipes/model_verdicts.py   # writes the table and the records under results/

Two tasks and two architectures make three places, with clean networks and backdoored ones of four
triggers, several wanted classes and poison rates. Each network is compared with the clean ones of
its place. That one clean network in 21 is flagged is made so by the ranks and measures nothing;
what the level is worth where clean networks were made in another way is measured by `:odd`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cells import RESULTS, markdown
from mithridate.bench.cell import Cell
from mithridate.bench.export import to_parquet
from mithridate.bench.metrics.verdicts import (
    JudgedNetwork,
    SuspectNetwork,
    Worth,
    count_verdicts,
    judge_all,
    suspects,
    textbook,
)
from mithridate.bench.plan import make_plan
from mithridate.bench.record import Record
from mithridate.bench.records import records
from mithridate.bench.store import Store
from mithridate.core.scanner import Scanner
from mithridate.scanners.mm_bd import MaximumMargin
from mithridate.scanners.neural_cleanse import NeuralCleanse
from mithridate.scanners.random_search import RandomSearch
from mithridate.scanners.universal_transfer import UniversalTransfer
from mithridate.scanners.weight_statistics import WeightStatistics
from mithridate.stats.intervals import Interval
from populations import PLACES, otherwise, population

SCANNERS: dict[str, Scanner] = {
    "neural-cleanse": NeuralCleanse(),
    "maximum-margin": MaximumMargin(),
    "weight-statistics": WeightStatistics(),
    "universal-transfer": UniversalTransfer(),
    "random-search": RandomSearch(),
}
TEXTBOOK = "neural-cleanse"
"""The scanner whose scores are minus the logarithms of norms."""


def sweep() -> list[Cell]:
    """Every network of every place under every scanner."""
    return [cell for place in PLACES for cell in population(place, SCANNERS)]


def odd() -> list[Cell]:
    """Clean networks that were trained for longer than those of the places."""
    return otherwise(SCANNERS)


def share(found: Interval) -> str:
    """A share with its interval, in percent."""
    return f"{100 * found.value:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def line(name: str, found: Worth, calibrated: bool = True) -> list[str]:
    """One row of the table."""
    area = found.auroc
    return [
        name, f"{area.value:.3f} [{area.low:.3f}, {area.high:.3f}]",
        share(found.tpr_5) if calibrated else "-", share(found.caught),
        f"{100 * found.clean.value:.0f} %, made so" if calibrated else share(found.clean),
        str(found.unheard),
    ]  # fmt: skip


HEADER = [
    "scanner", "AUROC", "TPR at 5 % FPR", "flagged, backdoored", "flagged, clean",
    "could not judge",
]  # fmt: skip


def table(found: Sequence[Record], strange: Sequence[Record]) -> str:
    """What each scanner is worth, all together, by place and by trigger."""
    networks = suspects(found)
    judged = {name: judge_all(networks, [name]) for name in SCANNERS}
    judged["all together"] = judge_all(networks, list(SCANNERS))
    poisoned = sum(n.poisoned for n in networks)
    rule = textbook(networks, TEXTBOOK)
    rows = [line(name, count_verdicts(each)) for name, each in judged.items()]
    rows.append(line('textbook: "anomaly index > 2"', rule, calibrated=False))
    head = f"{len(networks) - poisoned} clean and {poisoned} backdoored networks that took.\n\n"
    return (
        f"{head}{markdown(HEADER, rows)}\n\n"
        f"All scanners together, by place:\n\n{by_place(judged['all together'])}\n\n"
        f"Flagged, by trigger:\n\n{by_trigger(judged)}\n\n"
        f"Clean networks made in another way, flagged:\n\n{made_otherwise(networks, strange)}\n"
    )


def made_otherwise(networks: Sequence[SuspectNetwork], strange: Sequence[Record]) -> str:
    """How many clean networks that were trained for longer are flagged by those of the place."""
    rows = []
    for task in dict.fromkeys(str(r.cell["task"]) for r in strange):
        own = suspects(r for r in strange if r.cell["task"] == task)
        same = [n for n in networks if n.place[:2] == (task.partition(",")[0], own[0].place[1])]
        cells = [share(count_verdicts(judge_all(own, [name], same)).clean) for name in SCANNERS]
        rows.append(
            [
                task,
                str(len(own)),
                *cells,
                share(count_verdicts(judge_all(own, list(SCANNERS), same)).clean),
            ]
        )
    return markdown(["made how", "networks", *SCANNERS, "all together"], rows)


def by_place(judged: Sequence[JudgedNetwork]) -> str:
    """The same for each task and architecture."""
    places = sorted({j.suspect.place for j in judged})
    rows = [
        line(" ".join(place), count_verdicts([j for j in judged if j.suspect.place == place]))
        for place in places
    ]
    return markdown(["place", *HEADER[1:]], rows)


def by_trigger(judged: dict[str, list[JudgedNetwork]]) -> str:
    """How many networks of each trigger are flagged, and how the wanted class ranks."""
    names = sorted({j.suspect.attack.partition(" to ")[0] for j in judged["all together"]
                    if j.suspect.poisoned})  # fmt: skip
    rows = []
    for name in names:
        cells = []
        for scanner, each in judged.items():
            own = [j for j in each if j.suspect.attack.startswith(f"{name} to ")]
            first = [j.suspect.rank.get(scanner) == 1 for j in own]
            flagged = f"{sum(j.flagged(0.05) for j in own)}/{len(own)}"
            cells.append(flagged + (f", first {np.mean(first):.0%}" if any(first) else ""))
        rows.append([name, *cells])
    return markdown(["trigger", *judged], rows)


def main() -> None:
    """Write results/model_verdicts from the store named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, default=Path("mithridate-bench"))
    store = Store(parser.parse_args().store)
    plan = make_plan(sweep(), store)
    found, strange = records(plan, store), records(make_plan(odd(), store), store)
    tasks = {r.cell["task"] for r in strange if r.status == "pending"}
    strange = [r for r in strange if r.cell["task"] not in tasks]
    if tasks:
        print(f"not run to the end and left out: {sorted(tasks)}")
    home = RESULTS / "model_verdicts"
    home.mkdir(parents=True, exist_ok=True)
    (home / "table.md").write_text(table(found, strange))
    to_parquet([*found, *strange], home / "records.parquet")
    print((home / "table.md").read_text())


if __name__ == "__main__":
    main()
