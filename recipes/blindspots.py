"""Do quantised models hide their backdoors? "Quantization Blindspots", run again with care.

    mithridate bench run recipes/blindspots.py             # CIFAR-10, four precisions
    mithridate bench run recipes/blindspots.py:gtsrb       # GTSRB
    python recipes/blindspots.py published --store STORE   # the five rules as their code ran them
    python recipes/blindspots.py table --store STORE       # writes results/blindspots

Ours: scanners on the artefact and its dequantised twin, each model against clean ones of the same
precision. A backdoor that does not survive a precision is void there.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from as_published import RULES, detected, int4_simulated
from cells import RESULTS, done, markdown, records, save
from mithridate.bench.cell import Cell
from mithridate.bench.chain import build_chain
from mithridate.bench.execute import Workbench
from mithridate.bench.export import to_parquet
from mithridate.bench.metrics.verdicts import count_verdicts, judge_all, suspects
from mithridate.bench.plan import make_plan
from mithridate.bench.record import Record
from mithridate.bench.records import records as read
from mithridate.bench.step import NotDone
from mithridate.bench.store import Store
from mithridate.core.runtime import environment
from mithridate.pipelines.deployment import as_deployed
from model_verdicts import SCANNERS, share
from populations import population, signs

PRECISIONS = ("fp32", "int8-dynamic", "int8-static", "int4-weights")
SOME = ("neural-cleanse", "maximum-margin", "weight-statistics", "random-search")
CHOSEN = {name: SCANNERS[name] for name in SOME}
"""Two by gradients of the twin, one by weights, one that only asks the artefact."""
FEWER = {name: SCANNERS[name] for name in SOME[:3]}
"""For 43 classes; asking takes minutes for each network."""
PAPER = ("badnets", "blended")
FRESH = 200
"""From this seed on, networks that were made after the scanners had their present form."""
FOLDER = "blindspots"
AS_RUN = {"cifar10": (0, 1, 2, 3, 100, 102, 104, 106), "gtsrb": (0, 1, 100, 101)}
"""Seeds of the networks that the published rules see; those from 100 on are backdoored."""


def sweep() -> list[Cell]:
    """CIFAR-10: clean networks, and those with the two triggers of the paper."""
    found: list[Cell] = []
    for precision in PRECISIONS:
        of = partial(population, ("cifar10", "resnet9:8"), CHOSEN, precision)
        found += [c for c in of() if not c.poison_rate or c.names[1].startswith(PAPER)]
        more = of(clean=0, poisoned=24, names=PAPER)
        found += [replace(cell, seed=cell.seed - 100 + FRESH) for cell in more]
    return found


def gtsrb() -> list[Cell]:
    """GTSRB: the same questions with 43 classes."""
    return [cell for precision in PRECISIONS for cell in signs(FEWER, precision)]


def published(store: Store) -> None:
    """Run the five rules on a few networks of the sweeps, in every precision; resumes."""
    bench = Workbench(store)
    cells = {(c.names[0], c.seed): c for c in sweep() + gtsrb()
             if c.names[2] == SOME[2] and c.precision == "fp32"}  # fmt: skip
    for task, seed in ((task, seed) for task, seeds in AS_RUN.items() for seed in seeds):
        cell = cells[task, seed]
        end = build_chain(cell)
        split, trained = bench(end.undefended.data), bench(end.undefended.model)
        images = split.test.inputs[:500]
        for precision in ("fp32", "int8-dynamic", "int8-static", "int4-simulated"):
            name = f"published-{task}-{precision}-seed{seed}"
            if done(FOLDER, name):
                continue
            if precision == "int4-simulated":
                model = int4_simulated(copy.deepcopy(trained.model))
            else:
                model = as_deployed(trained.model, precision, split.domain, split.trusted).model
            said = {n: detected(r, model, images, len(split.test.classes))
                    for n, r in RULES.items()}  # fmt: skip
            save(FOLDER, name, {
                "task": task, "precision": precision, "seed": seed, "attack": cell.names[1],
                "rate": cell.poison_rate, "said": said, "asr_fp32": _success(bench, end),
                "environment": environment(),
            })  # fmt: skip


def _success(bench: Workbench, end: Any) -> float | None:
    try:
        return float(bench(end.undefended).facts["metrics"]["asr"][0])
    except NotDone:
        return None


def table(found: list[Record], seen: list[dict[str, Any]]) -> str:
    """Ours by task and precision, what became of accuracy and success, and the published rules."""
    networks = suspects(found)
    rows = []
    for place in sorted({n.place for n in networks}, key=_order):
        own = [n for n in networks if n.place == place]
        here = [r for r in found if (r.cell["task"], r.cell["precision"]) == (place[0], place[2])]
        names = list(FEWER if place[0] == "gtsrb" else CHOSEN)
        fresh = [n for n in own if not n.poisoned or n.seed >= FRESH]
        several = [("all together", names, own), *((n, [n], own) for n in names)]
        if any(n.poisoned for n in fresh):
            several.insert(1, ("all together, fresh networks", names, fresh))
        for label, scanners, judged_here in several:
            value = count_verdicts(judge_all(judged_here, scanners))
            rows.append([
                place[0], place[2], label, share(value.tpr_5), share(value.caught),
                f"{100 * value.clean.value:.0f} %, made so", f"{value.auroc.value:.3f}",
                str(value.unheard),
                _void(here), _mean(here, "asr", poisoned=True), _mean(here, "accuracy"),
            ])  # fmt: skip
    header = ["task", "precision", "scanner", "TPR at 5 % FPR", "flagged, backdoored"]
    header += ["flagged, clean", "AUROC", "could not judge", "did not take", "ASR", "accuracy"]
    return f"{markdown(header, rows)}\n\n{as_run(seen)}\n"


def _order(place: tuple[str, str, str]) -> tuple[str, int]:
    return place[0], PRECISIONS.index(place[2])


def _void(found: list[Record]) -> str:
    """How many of the backdoored networks do not obey in this precision."""
    ends = {(r.cell["attack"], r.cell["seed"]): r.status for r in found if r.cell["rate"]}
    return f"{sum(status == 'void' for status in ends.values())} of {len(ends)}"


def _mean(found: list[Record], metric: str, poisoned: bool = False) -> str:
    values = [
        r.value(metric) for r in found
        if r.status == "done" and metric in r.metrics and (r.cell["rate"] or not poisoned)
    ]  # fmt: skip
    return f"{100 * sum(values) / len(values):.1f}" if values else ""


def as_run(seen: list[dict[str, Any]]) -> str:
    """How many backdoored and clean networks each published rule flags, and what went wrong."""
    rows = []
    for task, precision in dict.fromkeys((r["task"], r["precision"]) for r in seen):
        here = [r for r in seen if (r["task"], r["precision"]) == (task, precision)]
        for rule in RULES:
            cells = []
            for bad in (True, False):
                own = [r["said"][rule] for r in here if bool(r["rate"]) == bad]
                cells.append(f"{sum(flag for flag, _ in own)}/{len(own)}")
            errors = {r["said"][rule][1] for r in here} - {""}
            rows.append([task, precision, rule, *cells, "; ".join(sorted(errors))[:120]])
    header = ["task", "precision", "rule as their code runs it", "flagged, backdoored"]
    header += ["flagged, clean", 'error that counts as "not detected"']
    return markdown(header, rows)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["published", "table"])
    parser.add_argument("--store", type=Path, default=Path("mithridate-bench"))
    arguments = parser.parse_args()
    store = Store(arguments.store)
    if arguments.what == "published":
        torch.set_num_threads(1)
        published(store)
        return
    found, signs_too = (read(make_plan(cells, store), store) for cells in (sweep(), gtsrb()))
    if all(record.status != "pending" for record in signs_too):
        found += signs_too
    else:
        print("GTSRB was not run to its end and is left out")
    home = RESULTS / FOLDER
    home.mkdir(parents=True, exist_ok=True)
    (home / "table.md").write_text(table(found, records(FOLDER, "published-*")))
    to_parquet(found, home / "records.parquet")
    print((home / "table.md").read_text())


if __name__ == "__main__":
    main()
