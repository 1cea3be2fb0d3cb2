"""The transfer matrix: every detector, guard, scanner, repair and trainer in every domain.

    mithridate bench run recipes/transfer.py --store FOLDER       # :images, :texts, ... for one
    python recipes/transfer.py --store FOLDER   # writes results/transfer

Each domain has one attack that takes and its clean twin, at one rate and two seeds, and each method
stands there at its default settings. What the words mean was fixed before anything was run:

- a detector works where it ranks the poisoned examples of the target class with an AUROC of 0.9 or
  more, works worse down to 0.7, and does not work below;
- a guard likewise, for triggered inputs among clean ones that arrive;
- a scanner works where the target label has its highest score in every seed, works worse where it
  has in some;
- a repair or trainer works where ASR ends at 20 % or less and accuracy falls by 5 points or less;
  works worse where ASR is halved at as little loss;
- it cannot be asked where it says so, with its own reason.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cells import RESULTS, markdown
from episodes import played
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.cell import Cell, Defence, Guard, Rules, Task, grid
from mithridate.bench.export import to_parquet
from mithridate.bench.plan import make_plan
from mithridate.bench.record import Record
from mithridate.bench.records import records
from mithridate.bench.store import Store
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Attack, Detector, Repair, Trainer
from mithridate.core.registry import find
from mithridate.core.scanner import Scanner
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.domains.observation.triggers import ValueTrigger
from mithridate.domains.sound.triggers import ToneTrigger
from mithridate.domains.table.triggers import ValuesTrigger
from mithridate.domains.text.triggers import WordTrigger
from mithridate.stats.intervals import proportion


@dataclass(frozen=True)
class Place:
    """One domain: what is learnt there, by what network, and the attack that takes."""

    task: Task
    network: str
    attack: Attack
    rate: float = 0.05


PLACES = {
    "images": Place(
        Task("mnist", train=2_000, test=1_000,
             training=TrainingConfig(epochs=8, batch_size=64, augment=False)),
        "resnet9:8",
        Poisoning(PatchTrigger(size=3, row=-4, column=-4, style="white"), AllToOne(1)),
    ),
    "texts": Place(
        Task("sst2", train=2_000, test=800, training=TrainingConfig(epochs=8, batch_size=64)),
        "",
        Poisoning(WordTrigger(), AllToOne(1)),
    ),
    "sounds": Place(
        Task("fsdd", train=1_500, test=300, training=TrainingConfig(epochs=10, batch_size=64)),
        "",
        Poisoning(ToneTrigger(), AllToOne(1)),
    ),
    "tables": Place(
        Task("unsw-nb15", train=2_000, test=800,
             training=TrainingConfig(epochs=10, batch_size=64)),
        "",
        Poisoning(ValuesTrigger(), AllToOne(1)),
    ),
    "policies": Place(
        Task(str(played()), train=2_000, test=800,
             training=TrainingConfig(epochs=8, batch_size=64)),
        "",
        Poisoning(ValueTrigger((0, 1), (1.5, -1.5)), AllToOne(1)),
    ),
}  # fmt: skip
"""The target label is never the first class, which wins ties."""

SEEDS = (0, 1)
CONTROLS = ("random", "constant", "gradient-norm")


def methods() -> dict[str, Defence]:
    """Every method at its default settings."""
    detectors = {n: k() for n, k in find(Detector).items() if n not in CONTROLS}
    guards = {f"guard: {n}": Guard(d) for n, d in detectors.items()}
    scanners = {n: k() for n, k in find(Scanner).items()}
    repairs = {n: k() for n, k in find(Repair).items() if n != "do-nothing"}
    return {**detectors, **guards, **scanners, **repairs}


def trainers(training: TrainingConfig) -> dict[str, Defence]:
    """Every way of training at its default settings, with the training of the task."""
    return {n: k(training=training) for n, k in find(Trainer).items() if n != "standard"}


def cells(name: str) -> list[Cell]:
    """All methods in one domain, on the attack and on its clean twin."""
    place = PLACES[name]
    asked = methods() | trainers(place.task.training)
    return grid(
        {name: place.task}, {"usual": place.attack}, asked, rates=(0.0, place.rate),
        trusted=(250,), seeds=SEEDS, networks=(place.network,), rules=Rules(),
    )  # fmt: skip


def sounds() -> list[Cell]:
    """One domain alone."""
    return cells("sounds")


def tables() -> list[Cell]:
    """One domain alone."""
    return cells("tables")


def policies() -> list[Cell]:
    """One domain alone."""
    return cells("policies")


def sweep() -> list[Cell]:
    """All domains."""
    return [cell for name in PLACES for cell in cells(name)]


def images() -> list[Cell]:
    """One domain alone."""
    return cells("images")


def texts() -> list[Cell]:
    """One domain alone."""
    return cells("texts")


def mean(found: Sequence[Record], metric: str) -> float:
    """The mean of a metric over cells; not a number where none has it."""
    values = [v for r in found if np.isfinite(v := r.value(metric))]
    return float(np.mean(values)) if values else float("nan")


def by_auroc(metric: str) -> Callable[[Sequence[Record], Sequence[Record]], tuple[str, str]]:
    """Judge what ranks examples."""

    def judge(attacked: Sequence[Record], _: Sequence[Record]) -> tuple[str, str]:
        value = mean(attacked, metric)
        word = "works" if value >= 0.9 else "works worse" if value >= 0.7 else "does not work"
        return word, f"{value:.2f}"

    return judge


def by_rank(attacked: Sequence[Record], _: Sequence[Record]) -> tuple[str, str]:
    """Judge a scanner by the rank that it gives the target label."""
    first, n = sum(r.value("target_rank") == 1 for r in attacked), len(attacked)
    word = "works" if first == n else "works worse" if first else "does not work"
    return word, f"{first}/{n}"


def by_success(attacked: Sequence[Record], undefended: Sequence[Record]) -> tuple[str, str]:
    """Judge a repair or trainer by the ASR that it leaves and by the accuracy that it costs."""
    before, after = mean(undefended, "asr"), mean(attacked, "asr")
    lost = mean(undefended, "accuracy") - mean(attacked, "accuracy")
    small = lost <= 0.05
    word = "works" if small and after <= 0.2 else "does not work"
    if word != "works" and small and after <= before / 2:
        word = "works worse"
    return word, f"ASR {100 * after:.0f} %, {100 * lost:+.1f} points lost"


KINDS = {
    "detectors": (Detector, "", by_auroc("auroc_in_class")),
    "guards": (Detector, "guard: ", by_auroc("auroc")),
    "scanners": (Scanner, "", by_rank),
    "repairs": (Repair, "", by_success),
    "trainers": (Trainer, "", by_success),
}


class Matrix:
    """The records of all cells, by domain and defence."""

    def __init__(self, every: Sequence[Record]) -> None:
        self.every = every
        self.reasons: dict[str, list[str]] = {}

    def of(self, domain: str, defence: str, attacked: bool) -> list[Record]:
        """The cells of one defence in one domain, on the attack or on the clean twin."""
        return [
            r for r in self.every
            if (r.cell["task"], r.cell["defence"]) == (domain, defence)
            and (float(r.cell["rate"]) > 0) == attacked
        ]  # fmt: skip

    def entry(self, domain: str, defence: str, judge: Callable[..., tuple[str, str]]) -> str:
        """What became of one method in one domain."""
        cells = self.of(domain, defence, attacked=True)
        done = [r for r in cells if r.status == "done"]
        others = [r for r in cells if r.status != "done"]
        if done:
            word, figure = judge(done, self.of(domain, "none", attacked=True))
            return f"{word} ({figure})"
        if not others:
            return ""
        if others[0].status == "skipped":
            self.reasons.setdefault(others[0].why, []).append(f"{defence}, {domain}")
            return "cannot be asked"
        return others[0].status

    def undisturbed(self, domain: str) -> list[str]:
        """What defences say of the clean twin: verdicts of detectors, alarms of guards."""
        twins = [r for name in find(Detector) for r in self.of(domain, name, attacked=False)]
        said = [r.verdict["answer"] == "flagged" for r in twins if "answer" in r.verdict]
        guards = [r for name in find(Detector)
                  for r in self.of(domain, f"guard: {name}", attacked=False)]  # fmt: skip
        low, high = proportion(sum(said), len(said))[1:3]
        alarms = mean([r for r in guards if r.status == "done"], "false_alarms")
        return [domain, f"{sum(said)}/{len(said)} [{100 * low:.0f}, {100 * high:.0f}]",
                f"{100 * alarms:.1f} %"]  # fmt: skip


def table(every: Sequence[Record]) -> str:
    """Write the matrix, kind by kind, and why what cannot be asked cannot."""
    matrix, parts = Matrix(every), []
    undefended = [
        [n, *(f"{100 * mean(matrix.of(n, 'none', attacked=True), m):.1f} %"
              for m in ("accuracy", "asr"))]
        for n in PLACES
    ]  # fmt: skip
    parts += ["### Undefended\n", markdown(["domain", "accuracy", "ASR"], undefended)]
    for kind, (form, prefix, judge) in KINDS.items():
        lines = [
            [name, *(matrix.entry(domain, prefix + name, judge) for domain in PLACES)]
            for name in find(form)
        ]
        lines = [line for line in lines if any(line[1:])]
        parts += [f"### {kind.capitalize()}\n", markdown([kind[:-1], *PLACES], lines)]
    quiet = [matrix.undisturbed(domain) for domain in PLACES]
    header = ["domain", "detectors that flag the clean twin", "clean inputs that guards stop"]
    parts += ["### Clean twins\n", markdown(header, quiet)]
    why = [[", ".join(who), reason] for reason, who in matrix.reasons.items()]
    parts += ["### What cannot be asked\n", markdown(["method, domain", "what it says"], why)]
    return "\n".join(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", type=Path, default=Path("mithridate-bench"))
    store = Store(parser.parse_args().store)
    measured = records(make_plan(sweep(), store), store)
    home = RESULTS / "transfer"
    home.mkdir(parents=True, exist_ok=True)
    (home / "table.md").write_text(table(measured))
    to_parquet(measured, home / "records.parquet")
    print((home / "table.md").read_text())
