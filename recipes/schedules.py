"""Compare the fast schedule with the ordinary one: cost, accuracy, and which backdoors are learnt.

    python recipes/schedules.py run      # hours of one core; resumable
    python recipes/schedules.py table

Both schedules train the same network from the same start on the same examples, one after the other
in one process by one thread, and who begins alternates with the seed. The ordinary one is what a
scan chooses for so many examples, `choose_training`; the fast one is `choose_fast`. Seconds are
those of the processor, user and system, without reading the data and without measuring accuracy.
The settings of the fast schedule were chosen on CIFAR-10 with seed 100, which draws other examples,
another start and another order than the seeds that are judged, and on the first 5,000 test images;
what is judged is measured on the last 5,000. SST-2 was tried with seed 100, too, and nothing was
chosen by it; its validation split is small, so both look at all of it. The record of the trials was
written by hand from what they printed.

A backdoored world is 5,000 suspects, a share of which carries the trigger and the label 1, and
1,000 trusted examples, scanned by those detectors of `scan data` that look into the network. Both
schedules face the same poisoned examples and the same permutations.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from statistics import mean, median
from typing import Any

from cells import markdown, records
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success, detection
from mithridate.core.data import Dataset
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Trigger
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.spectre import Spectre
from mithridate.domains.catalogue import load_named
from mithridate.domains.formats import Source
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger
from mithridate.domains.image.triggers import PatchTrigger, PixelTrigger
from mithridate.pipelines.finding import DataScan, Rule
from mithridate.pipelines.scan import DataScanner, choose_fast, choose_training
from worlds import World, command_line

FOLDER = "schedules"
TESTS, TRUSTED, SUSPECTS, TARGET = 5_000, 1_000, 5_000, 1
SETS = ("cifar10", "sst2", "mnist")
EXAMPLES = 10_000
BACKDOORED = "cifar10"
SCHEDULES: dict[str, Callable[[int], TrainingConfig]] = {
    "ordinary": choose_training, "fast": choose_fast,
}  # fmt: skip
TRIGGERS: dict[str, Trigger] = {
    "patch 3x3": PatchTrigger(),
    "blend 0.1": BlendTrigger(alpha=0.1),
    "pixel": PixelTrigger("pixel"),
    "wave": SinusoidTrigger(),
}
RATES = (0.02, 0.05)
SEEDS = 5
DETECTORS = (
    SpectralSignatures(), ActivationClustering(), Spectre(), EarlyLoss(), NearestNeighbours()
)  # fmt: skip
RULE = Rule(level=0.05, fdr=0.2, smallest=0.01, permutations=1999)
TOGETHER = "together"


@functools.cache
def source(name: str, split: str) -> Source:
    """A split of a set and its domain; the test split of SST-2 has no labels."""
    return load_named(name, "validation" if (name, split) == ("sst2", "test") else split)


def draw(name: str, seed: int, n: int) -> Dataset:
    """Draw n training examples."""
    data = source(name, "train").data
    return data.subset(stream(seed, "rows", name).permutation(len(data))[:n])


def tests(name: str) -> Dataset:
    """The test examples: the last ones, since settings were chosen on the first."""
    data = source(name, "test").data
    return data.subset(range(max(0, len(data) - TESTS), len(data)))


def in_turns(seed: int) -> list[str]:
    """The schedules in the order of a seed."""
    return sorted(SCHEDULES, reverse=bool(seed % 2))


def learnt(name: str, seed: int, schedule: str) -> dict[str, Any]:
    """Train by one schedule, and say what every epoch cost and reached."""
    data, domain, curve = draw(name, seed, EXAMPLES), source(name, "train").domain, []
    config, spent = SCHEDULES[schedule](EXAMPLES), 0.0
    model = domain.network(data, "", stream(seed, "schedules", "init"))
    began = time.process_time()

    def look(done: int, total: int) -> None:
        nonlocal spent, began
        spent += time.process_time() - began
        if 2 * done >= total:
            curve.append([done, round(spent, 2), accuracy(model, tests(name), domain).value])
        began = time.process_time()

    fit(model, data, domain, config, stream(seed, "schedules", "fit"), TrainingRun(progress=look))
    return {"training": asdict(config), "curve": curve}


def compared(name: str, seed: int) -> dict[str, Any]:
    """Train by both schedules."""
    found = {schedule: learnt(name, seed, schedule) for schedule in in_turns(seed)}
    return {"set": name, "n": EXAMPLES, "seed": seed, **found, "environment": environment()}


def judged(scan: DataScan, data: Dataset, trusted: Dataset, seed: int) -> dict[str, Any]:
    """The p-values of the data and of the target class, by each detector alone and by all."""
    said = {}
    for name, some in [
        (TOGETHER, scan.judged), *((j.detector.name(), (j,)) for j in scan.judged)
    ]:  # fmt: skip
        decision = RULE.decide(some, data, trusted, stream(seed, "permute"))
        target = min(decision.classes[TARGET].p_values.values())
        said[name] = {"p_value": decision.verdict.p_value, "target_p": target}
    return said


@dataclass
class Told:
    """When a scan told what begins, in processor seconds."""

    steps: list[tuple[str, float]] = field(default_factory=list)

    def __call__(self, what: str) -> None:
        """Note it."""
        self.steps.append((what, time.process_time()))

    def seconds(self, start: str) -> float:
        """Give how long the step took whose announcement starts so."""
        steps = itertools.pairwise(self.steps)
        return next(
            after - before for (what, before), (_, after) in steps if what.startswith(start)
        )


def scanned(kind: str, rate: float, seed: int) -> dict[str, Any]:
    """Scan one backdoored world with a network of each schedule."""
    rows = draw(BACKDOORED, seed, SUSPECTS + TRUSTED)
    clean, trusted = rows.subset(range(SUSPECTS)), rows.subset(range(SUSPECTS, len(rows)))
    domain, test = source(BACKDOORED, "train").domain, tests(BACKDOORED)
    attack = Poisoning(TRIGGERS[kind], AllToOne(TARGET), RandomSelection(rate))
    made = attack.poison(clean, stream(seed, "poison", kind))
    found: dict[str, Any] = {}
    for schedule in in_turns(seed):
        config = SCHEDULES[schedule](len(rows))
        scanner = DataScanner(DETECTORS, training=config, permutations=RULE.permutations)
        began, told = time.process_time(), Told()
        scan = scanner.scan(made.data, trusted, domain, seed, step=told)
        found[schedule] = {
            "training": asdict(config),
            "cpu_seconds": time.process_time() - began,
            "training_cpu_seconds": told.seconds("training a network"),
            "accuracy": accuracy(scan.model, test, domain).value,
            "asr": attack_success(scan.model, attack, test, domain, stream(seed, "asr")).value,
            "said": judged(scan, made.data, trusted, seed),
            "auroc_in_class": {
                j.detector.name(): detection(j.scores.values, made.truth, made.data.labels)[
                    "auroc_in_class"
                ]
                for j in scan.judged
            },
        }
    setting = {"kind": kind, "rate": rate, "seed": seed, "poisons": int(made.truth.poisoned.sum())}
    return {**setting, **found, "environment": environment()}


def worlds(names: list[str]) -> Iterator[World]:
    """All comparisons, seed by seed; two triggers before the other two."""
    kinds = list(TRIGGERS)
    for seed in range(SEEDS):
        yield from accuracies([name for name in names if name != SETS[-1]], seed)
        yield from backdoors(names, seed, kinds[:2])
        yield from accuracies([name for name in names if name == SETS[-1]], seed)
    for seed in range(SEEDS):
        yield from backdoors(names, seed, kinds[2:])


def accuracies(names: list[str], seed: int) -> Iterator[World]:
    """The comparisons of cost and accuracy of one seed."""
    for name in names:
        yield f"accuracy-{name}-seed{seed}", functools.partial(compared, name, seed)


def backdoors(names: list[str], seed: int, kinds: list[str]) -> Iterator[World]:
    """The backdoored worlds of one seed."""
    for kind, rate in itertools.product(kinds if BACKDOORED in names else [], RATES):
        label = f"backdoor-{kind.replace(' ', '-')}-{100 * rate:g}-seed{seed}"
        yield label, functools.partial(scanned, kind, rate, seed)


def percent(value: float) -> str:
    """Write a share as a percentage."""
    return f"{100 * value:.1f}"


def both(found: list[Any], ask: Callable[[Any], float], write: Callable[[float], str]) -> str:
    """Write the mean under the ordinary schedule and under the fast one."""
    return " / ".join(write(mean(ask(r[schedule]) for r in found)) for schedule in SCHEDULES)


def over(slow: float, quick: float | None) -> str:
    """Write how many times cheaper the fast schedule was, where it got there."""
    return "not reached" if quick is None else f"{slow / quick:.2f}"


def ends(found: list[Any], name: str) -> str:
    """Write what both schedules reach and cost on one set, seed by seed."""
    rows = []
    for r in found:
        (_, slow, wanted), (_, quick, got) = r["ordinary"]["curve"][-1], r["fast"]["curve"][-1]
        first: dict[str, Any] = {
            schedule: next((t for _, t, reached in r[schedule]["curve"] if reached >= wanted), None)
            for schedule in SCHEDULES
        }
        rows.append([
            name, str(r["seed"]), f"{percent(wanted)} in {slow:.1f} s",
            f"{percent(got)} in {quick:.1f} s", f"{100 * (got - wanted):+.1f}",
            f"{slow / quick:.2f}", over(slow, first["fast"]),
            over(first["ordinary"], first["fast"]),
        ])  # fmt: skip
    header = ["set", "seed", "ordinary", "fast", "points", "times cheaper to the end"]
    header += ["to the accuracy of the ordinary end", "where each first reached that"]
    return markdown(header, rows)


def summed(found: list[Any], name: str) -> str:
    """Say in a sentence what the seeds of one set have in common."""
    last = [(r["ordinary"]["curve"][-1], r["fast"]["curve"][-1]) for r in found]
    ratios = [slow[1] / quick[1] for slow, quick in last]
    points = [100 * (quick[2] - slow[2]) for slow, quick in last]
    reached = sum(point >= 0 for point in points)
    return (
        f"{name}, {found[0]['n']:,} examples, seeds run: {len(found)}. The fast schedule ends "
        f"{median(ratios):.2f} times cheaper (median; {min(ratios):.2f} to {max(ratios):.2f}) and "
        f"{mean(points):+.1f} points from the ordinary one (mean; "
        f"{min(points):+.1f} to {max(points):+.1f}); it "
        f"reaches what the ordinary one ends with in {reached} of {len(found)}.\n"
    )


def took(found: list[Any]) -> str:
    """Write which backdoors are learnt and found, by trigger and rate."""
    rows = []
    for kind, rate in itertools.product(TRIGGERS, RATES):
        some = [r for r in found if r["kind"] == kind and r["rate"] == rate]
        if some:
            rows.append([
                kind, f"{100 * rate:g} %", str(len(some)),
                both(some, lambda r: r["asr"], percent),
                both(some, lambda r: r["accuracy"], percent),
                both(some, lambda r: r["training_cpu_seconds"], "{:.0f}".format),
                *(verdicts(some, name) for name in some[0]["fast"]["said"]),
            ])  # fmt: skip
    names = list(found[0]["fast"]["said"])
    header = ["trigger", "rate", "seeds", "ASR", "accuracy", "cpu s of training"]
    return markdown([*header, *(f"class found: {name}" for name in names)], rows)


def verdicts(found: list[Any], name: str) -> str:
    """Write in how many worlds the target class was found at the level, by each schedule."""
    hits = [sum(r[s]["said"][name]["target_p"] <= RULE.level for r in found) for s in SCHEDULES]
    return f"{hits[0]} / {hits[1]} of {len(found)}"


def ranked(found: list[Any]) -> str:
    """Write how well each detector ranks the poison within its class, by trigger and rate."""
    rows, names = [], list(found[0]["fast"]["auroc_in_class"])
    for kind, rate in itertools.product(TRIGGERS, RATES):
        some = [r for r in found if r["kind"] == kind and r["rate"] == rate]
        if some:
            cells = [both(some, lambda r, n=name: r["auroc_in_class"][n], "{:.3f}".format)  # type: ignore[misc]
                     for name in names]  # fmt: skip
            rows.append([kind, f"{100 * rate:g} %", str(len(some)), *cells])
    return markdown(["trigger", "rate", "seeds", *names], rows)


def overall(found: list[Any]) -> str:
    """Say in a sentence what the worlds have in common."""
    asr = [r["fast"]["asr"] - r["ordinary"]["asr"] for r in found]
    hits = [sum(r[s]["said"][TOGETHER]["target_p"] <= RULE.level for r in found) for s in SCHEDULES]
    names = list(found[0]["fast"]["auroc_in_class"])
    shifts = {
        name: mean(r["fast"]["auroc_in_class"][name] - r["ordinary"]["auroc_in_class"][name]
                   for r in found)
        for name in names
    }  # fmt: skip
    told = ", ".join(f"{name} {shift:+.3f}" for name, shift in shifts.items())
    return (
        f"Over {len(found)} worlds the attack success of the fast schedule is "
        f"{100 * mean(asr):+.1f} "
        f"points from that of the ordinary one (mean; {100 * min(asr):+.1f} to "
        f"{100 * max(asr):+.1f}), the target class is found in {hits[0]} with the ordinary and in "
        f"{hits[1]} with the fast network by all detectors together, and AUROC within the class "
        f"moves by {told} (means).\n"
    )


SHOWN = ("epochs", "batch_size", "turning", "learning_rate", "warmup", "shares",
         "label_smoothing", "weight_decay")  # fmt: skip
"""The settings that were tried."""


def tried(record: Any) -> str:
    """Write what was tried on one set before the settings were fixed."""
    rows = []
    for trial in record["trials"]:
        config = trial["training"]
        settings = [config.get(name, "") for name in SHOWN]
        cells = [", ".join(map(str, s)) if isinstance(s, list) else str(s) for s in settings]
        cost = f"{trial['cpu_seconds']:.1f}"
        rows.append([trial["schedule"], *cells, cost, percent(trial["accuracy"])])
    text = markdown(["schedule", *SHOWN, "cpu s", "accuracy, %"], rows)
    told = f"Tried on {record['set']}, seed {record['seed']}, {record['n']:,} examples, measured on"
    return f"{told} {record['judged_on']}.\n\n{text}"


def table() -> str:
    """Write all tables and what they say."""
    parts = [tried(record) for record in records(FOLDER, "trials-*")]
    for name in SETS:
        if found := records(FOLDER, f"accuracy-{name}-seed*"):
            parts += [summed(found, name), ends(found, name)]
    if not any(records(FOLDER, kind) for kind in ("accuracy-*", "backdoor-*")):
        parts.append("No seed and no backdoored world that is to be judged has been run yet.\n")
    if found := records(FOLDER, "backdoor-*"):
        parts += [overall(found), "Ordinary / fast, means over seeds.\n", took(found)]
        parts += ["AUROC of the poison within its class, ordinary / fast.\n", ranked(found)]
    return "\n".join(parts)


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds}, list(SETS))
