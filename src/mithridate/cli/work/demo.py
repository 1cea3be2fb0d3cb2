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
from mithridate.pipelines.naming import DOUBT
from mithridate.pipelines.scan import DataScanner
from mithridate.report.page import write_report
from mithridate.report.record import clean_expected
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
        detector: that leads the list, else the one with the smallest p-value.
        auroc: of the order of the list in the class that holds poison, not a number without poison.
        flagged: numbers of examples named, and of the clean among them.
        false: numbers of examples named, and of the clean among them.
        expected: so many of the named are clean on average, at most.
        at_most: so many of them are clean at most, with the confidence of the bound.
        beside: classes without poison in which examples are named.
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
    expected: int
    at_most: int
    beside: tuple[str, ...]
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
    print_lists(rows)
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
    assert scan.naming is not None, "all classes have trusted digits"
    scores = scan.naming.scores.values
    held = set(poisoned.data.labels[truth.poisoned].tolist())
    inside = float("nan")
    if bool(truth.poisoned.any()):
        inside = detection(scores, truth, poisoned.data.labels)["auroc_in_class"]
    success = [attack_success(m, ATTACK, test, domain, stream(seed, "trap")) for m in models]
    right = [accuracy(model, test, domain) for model in models]
    p_value = scan.verdict.p_value
    return DemoRow(
        seed, world, scan.verdict.answer, float("nan") if p_value is None else p_value,
        leading(scan), inside, int(scan.flagged.sum()),
        int((scan.flagged & ~truth.poisoned).sum()), clean_expected(scan) or 0,
        scan.naming.clean_at_most,
        tuple(c.name for label, c in enumerate(scan.classes) if c.flagged and label not in held),
        (success[0], success[1]), (right[0], right[1]),
    )  # fmt: skip


def leading(scan: DataScan) -> str:
    """Name the detector that leads the list, or else the one with the smallest p-value."""
    best = min(scan.classes, key=lambda c: (min(c.p_values.values(), default=1.0), -c.flagged))
    return best.by or min(best.p_values, key=best.p_values.__getitem__)


def print_table(rows: list[DemoRow]) -> None:
    """Print one line for each data set."""
    table = grid(
        "seed", "data set", "verdict", "AUROC", "flagged", "false", "expected", "at most", "ASR %",
        "accuracy %",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            str(row.seed), row.world, row.verdict,
            "-" if math.isnan(row.auroc) else f"{row.auroc:.3f}",
            str(row.flagged), str(row.false), str(row.expected), str(row.at_most),
            change(row.asr), change(row.accuracy),
        )  # fmt: skip
    show(table)
    asr, right = rows[0].asr[0], rows[0].accuracy[0]
    used = Counter(row.detector for row in rows if not math.isnan(row.auroc))
    say(
        "AUROC: in the target class, of the order of the list, led by "
        f"{', '.join(f'{name} {times}x' for name, times in used.items())}. "
        "flagged, false: examples named, and the clean ones among them. expected: how many of them "
        "are clean on average, at most; at most: the same with a confidence of "
        f"{1 - DOUBT:.0%}. "
        f"ASR, accuracy: before → after what was named was dropped, on {asr.n} triggered (seed 0) "
        f"and {right.n} clean test digits."
    )


def print_lists(rows: list[DemoRow]) -> None:
    """Say of each list that is less clean than expected, or names a class without poison, why."""
    for row in rows:
        name = f"seed {row.seed}, {row.world}"
        if row.false > row.expected:
            kept = "holds" if row.false <= row.at_most else "does not hold here"
            say(
                f"{name}: {row.false} of {row.flagged} named digits are clean, more than the "
                f"{row.expected} expected. Expected is an average over scans; the bound of "
                f"{row.at_most} {kept}."
            )
        if row.beside:
            say(
                f"{name}: class {', '.join(row.beside)} is named without holding poison, as "
                f"happens in at most {SCANNER.level:.0%} of scans."
            )


def change(pair: tuple[Interval, Interval]) -> str:
    """Spell a percentage before and after."""
    return f"{100 * pair[0].value:.1f} → {100 * pair[1].value:.1f}"
