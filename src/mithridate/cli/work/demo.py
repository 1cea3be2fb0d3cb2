"""The work of `mithridate demo`: one attack and one defence from end to end, judged by the referee.

Axes: n suspect examples.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success, detection
from mithridate.cli import status
from mithridate.cli.terminal import Watch, grid, note, say, show
from mithridate.core.data import Dataset, Poisoned, concatenate
from mithridate.core.files import write_text
from mithridate.core.plain import plain
from mithridate.core.runtime import Runtime, environment
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.scan import DataScanner
from mithridate.report.page import write_report
from mithridate.stats.intervals import Interval

SUSPECTS, TRUSTED = 1000, 400
SHARE = 0.05  # of the suspects are poisoned
ATTACK = Poisoning(
    PatchTrigger(size=2, row=-2, column=-2),  # the default of 3 pixels is sized for 28 and more
    AllToOne(target=0),
    RandomSelection(poison_rate=SHARE),
)
CLEAN_TWIN = dataclasses.replace(ATTACK, selection=RandomSelection(poison_rate=0.0))
SCANNER = DataScanner(smallest=SHARE)


@dataclass(frozen=True)
class DemoRow:
    """What happened to one data set.

    Attributes:
        detector: that the AUROC is of: the one with the smallest p-value.
        auroc: within the class that holds poison, not a number without poison.
        flagged: numbers of examples named, and of the clean among them.
        false: numbers of examples named, and of the clean among them.
        asr: before dropping what was named and after.
        accuracy: before dropping what was named and after.
    """

    seed: int
    world: str
    verdict: str
    p_value: float
    detector: str
    auroc: float
    flagged: int
    false: int
    asr: tuple[Interval, Interval]
    accuracy: tuple[Interval, Interval]


@dataclass(frozen=True, eq=False)
class Digits:
    """One division of the digits, with the names of all of them."""

    suspects: Dataset
    trusted: Dataset
    test: Dataset
    names: tuple[str, ...]

    def names_of(self, data: Dataset) -> list[str]:
        """Give the names of some of them."""
        return [self.names[row] for row in data.ids.tolist()]


def run(*, out: Path, seeds: int) -> int:
    """Run every seed, print the table and write the reports; gives the exit status."""
    rows = [
        run_world(seed, world, attack, out)
        for seed in range(seeds)
        for world, attack in (("poisoned", ATTACK), ("clean twin", CLEAN_TWIN))
    ]
    out.mkdir(parents=True, exist_ok=True)
    summary = {
        "attack": plain(ATTACK.config()),
        "rows": [plain(dataclasses.asdict(row)) for row in rows],
        "versions": environment(),
    }
    write_text(out / "demo.json", json.dumps(summary, indent=1, allow_nan=False) + "\n")
    print_table(rows)
    for name in ("report.html", "clean-twin/report.html", "demo.json"):
        say(f"wrote {out / name}")
    return status.CLEAN


def divided(seed: int) -> Digits:
    """Draw suspects, trusted and test examples from all digits."""
    train, test = load_named("digits", "train"), load_named("digits", "test")
    both = concatenate(train.data, test.data)
    order = stream(seed, "demo", "divide").permutation(len(both))
    suspects, trusted = order[:SUSPECTS], order[SUSPECTS : SUSPECTS + TRUSTED]
    return Digits(
        both.subset(suspects),
        both.subset(trusted),
        both.subset(order[SUSPECTS + TRUSTED :]),
        train.names + test.names,
    )


def run_world(seed: int, world: str, attack: Poisoning, out: Path) -> DemoRow:
    """Poison, scan, drop what was named, train again, and let the referee judge."""
    digits, domain, runtime = divided(seed), load_named("digits").domain, Runtime()
    poisoned = attack.poison(digits.suspects, stream(seed, "poison"))
    data, trusted = poisoned.data, digits.trusted
    note(f"seed {seed}, {world}: {int(poisoned.truth.poisoned.sum())} of {len(data)} poisoned")
    with Watch() as watch:
        scan = SCANNER.scan(
            data, trusted, domain, seed,
            runtime=runtime, progress=watch.epochs, step=watch.step,
        )  # fmt: skip
        models = [scan.model]
        if scan.flagged.any():
            watch.step("training again without what was named")
            kept = data.subset(~scan.flagged)
            again = SCANNER.train(kept, trusted, domain, seed, runtime, progress=watch.epochs)
            models.append(again.model)
    if seed == 0:
        folder = out if attack is ATTACK else out / "clean-twin"
        write_report(
            scan, data, trusted, folder, names=digits.names_of(data),
            origin=f"digits ({world})", command="mithridate demo", seed=seed,
        )  # fmt: skip
    return judged(seed, world, poisoned, scan, (models[0], models[-1]), digits.test)


def judged(
    seed: int, world: str, poisoned: Poisoned, scan: DataScan,
    models: tuple[nn.Module, nn.Module], test: Dataset,
) -> DemoRow:  # fmt: skip
    """Put the referee's figures into a row."""
    domain, truth = load_named("digits").domain, poisoned.truth
    detector = leading(scan)
    scores = next(j.scores.values for j in scan.judged if j.detector.name() == detector)
    inside = float("nan")
    if bool(truth.poisoned.any()):
        inside = detection(scores, truth, poisoned.data.labels)["auroc_in_class"]
    before, after = (
        (
            attack_success(model, ATTACK, test, domain, stream(seed, "trap")),
            accuracy(model, test, domain),
        )
        for model in models
    )
    p_value = scan.verdict.p_value
    return DemoRow(
        seed, world, scan.verdict.answer, float("nan") if p_value is None else p_value, detector,
        inside, int(scan.flagged.sum()), int((scan.flagged & ~truth.poisoned).sum()),
        (before[0], after[0]), (before[1], after[1]),
    )  # fmt: skip


def leading(scan: DataScan) -> str:
    """Name the detector that the list was taken from, or else the one with the smallest p-value."""
    best = min(scan.classes, key=lambda c: (min(c.p_values.values(), default=1.0), -c.flagged))
    return best.by or min(best.p_values, key=best.p_values.__getitem__)


def print_table(rows: list[DemoRow]) -> None:
    """Print one line for each data set."""
    table = grid("seed", "data set", "verdict", "AUROC", "flagged", "false", "ASR %", "accuracy %")
    for row in rows:
        table.add_row(
            str(row.seed), row.world, row.verdict,
            "-" if math.isnan(row.auroc) else f"{row.auroc:.3f}",
            str(row.flagged), str(row.false), change(row.asr), change(row.accuracy),
        )  # fmt: skip
    show(table)
    asr, right = rows[0].asr[0], rows[0].accuracy[0]
    used = Counter(row.detector for row in rows if not math.isnan(row.auroc))
    say(
        "AUROC: in the target class, of the detector that named the list, else of the smallest p "
        f"({', '.join(f'{name} {times}x' for name, times in used.items())}). "
        "flagged, false: examples named, and the clean ones among them. "
        f"ASR, accuracy: before → after what was named was dropped, on {asr.n} triggered (seed 0) "
        f"and {right.n} clean test digits."
    )


def change(pair: tuple[Interval, Interval]) -> str:
    """Spell a percentage before and after."""
    return f"{100 * pair[0].value:.1f} → {100 * pair[1].value:.1f}"
