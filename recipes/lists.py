"""Measure how clean the lists of scans are, and how much of the poison they hold.

    python recipes/lists.py run        # about half an hour of one core; resumable
    python recipes/lists.py simulate   # a few minutes; resumable
    python recipes/lists.py table

A world is a data set, a trigger, a poison rate and a seed: 500 or 1,000 suspects, 300 to 500
trusted examples, one short training. Its scores are judged by the rule of a scan, by the same rule
kept as a bound (--fdr-bound), and as lists were named before: by the one detector with the smallest
p-value of its class, the first of several. Nothing was chosen on these seeds. Simulated worlds have
normal scores instead of a network, so that there can be many.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from cells import markdown, records
from mithridate.attacks.goals import AllToAll, AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import attack_success
from mithridate.core.data import Dataset, concatenate, dataset
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Trigger
from mithridate.core.runtime import Runtime, environment
from mithridate.core.scores import Scores, conformal_p_values
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.global_triggers import BlendTrigger
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger
from mithridate.pipelines.finding import Decision, Judged, Rule
from mithridate.pipelines.scan import DataScanner
from mithridate.stats.enrichment import benjamini_hochberg
from mithridate.stats.intervals import proportion
from worlds import World, ask, command_line

FOLDER = "lists"
FDR = 0.2
RULE = Rule(0.05, FDR, 0.01, 1999)
QUICK = Rule(0.05, FDR, 0.01, 199)
"""For simulated worlds."""
TEST = 300
SIZES = {
    # suspects, trusted, epochs
    "digits": (1000, 400, 20),
    "sst2": (1000, 500, 8),
    "ag-news": (1000, 500, 8),
    "mnist": (500, 300, 10),
    "cifar10": (500, 300, 12),
}
SMALL = PatchTrigger(size=2, row=-2, column=-2)
PLAN: list[tuple[str, str, Trigger, tuple[float, ...], int]] = [
    # data set, name, trigger, poison rates, seeds
    ("digits", "patch", SMALL, (0.04, 0.1), 4),
    ("digits", "white", PatchTrigger(size=2, row=-2, column=-2, style="white"), (0.04, 0.1), 4),
    ("digits", "blend", BlendTrigger(alpha=0.3), (0.04, 0.1), 4),
    ("digits", "all-to-all", SMALL, (0.3,), 4),
    ("sst2", "word", WordTrigger(), (0.05, 0.15), 4),
    ("sst2", "sentence", SentenceTrigger(), (0.05, 0.15), 4),
    ("ag-news", "word", WordTrigger(), (0.05, 0.15), 3),
    ("mnist", "patch", PatchTrigger(), (0.1,), 4),
    ("mnist", "blend", BlendTrigger(alpha=0.2), (0.1,), 4),
    ("cifar10", "patch", PatchTrigger(size=5, row=-6, column=-6), (0.15,), 4),
    ("cifar10", "blend", BlendTrigger(alpha=0.2), (0.15,), 4),
]
SIMULATED: dict[str, tuple[tuple[int, ...], tuple[float, ...]]] = {
    # poison by class, by how much each detector lifts it
    "strong, one class": ((40, 0, 0, 0, 0), (3.0, 3.0, 1.5, 1.0, -1.0)),
    "weak, one class": ((20, 0, 0, 0, 0), (2.5, 2.5, 1.5, 1.0, -1.0)),
    "weak, every class": ((12, 12, 12, 12, 12), (2.5, 2.5, 1.5, 1.0, -1.0)),
    "one detector of five": ((40, 0, 0, 0, 0), (4.0, 0.5, 0.0, 0.0, -1.0)),
    "no poison": ((0, 0, 0, 0, 0), (0.0, 0.0, 0.0, 0.0, 0.0)),
}
WORLDS, CLEAN, TRUSTED = 100, 90, 40
"""Simulated worlds of a kind; clean suspects and trusted examples of each of their classes."""

BEFORE, TOGETHER, BOUND = "as before", "together", "together, kept as a bound"


def as_before(
    decided: Decision, judged: tuple[Judged, ...], data: Dataset, trusted: Dataset
) -> torch.Tensor:
    """Name examples by the detector with the smallest p-value of a class, the first of several."""
    named = torch.zeros(len(data), dtype=torch.bool)
    for label, finding in enumerate(decided.classes):
        p_values = list(finding.p_values.values())
        if min(p_values) > RULE.level or not (finding.suspects and finding.trusted):
            continue
        one = judged[p_values.index(min(p_values))]
        rows, own = data.labels == label, trusted.labels == label
        conformal = conformal_p_values(one.scores.values[rows], one.trusted[own]).numpy()
        named[rows] = torch.from_numpy(benjamini_hochberg(conformal, FDR))
    return named


def lists(
    judged: tuple[Judged, ...], data: Dataset, trusted: Dataset, poisoned: torch.Tensor,
    seed: int, rule: Rule,
) -> dict[str, Any]:  # fmt: skip
    """What every rule names, and how much of it is poison."""
    decided = rule.decide(judged, data, trusted, stream(seed, "permute"))
    kept = replace(rule, fdr_bound=True, permutations=min(399, rule.permutations))
    bounded = kept.decide(judged, data, trusted, stream(seed, "permute"))
    before = as_before(decided, judged, data, trusted)
    return {
        BEFORE: told(before, decided, data, poisoned) | {"at_most": None},
        TOGETHER: told(decided.flagged, decided, data, poisoned),
        BOUND: told(bounded.flagged, bounded, data, poisoned),
    }


def told(
    named: torch.Tensor, decided: Decision, data: Dataset, poisoned: torch.Tensor
) -> dict[str, Any]:
    """What one rule names, and how much of it is poison."""
    assert decided.naming is not None
    classes = range(len(data.classes))
    clean = [not bool(poisoned[data.labels == c].any()) for c in classes]
    flagged = [min(c.p_values.values()) <= RULE.level for c in decided.classes]
    with_names = [bool(named[data.labels == c].any()) for c in classes]
    return {
        "p_value": decided.verdict.p_value,
        "named": int(named.sum()),
        "clean": int((named & ~poisoned).sum()),
        "at_most": decided.naming.clean_at_most,
        "needed": decided.naming.needed,
        "clean_classes_flagged": sum(a and b for a, b in zip(clean, flagged, strict=True)),
        "clean_classes_named": sum(a and b for a, b in zip(clean, with_names, strict=True)),
    }


def world(name: str, kind: str, trigger: Trigger, rate: float, seed: int) -> dict[str, Any]:
    """Poison, train, score and list."""
    began = time.process_time()
    n, m, epochs = SIZES[name]
    source = load_named(name)
    rows = source.data.subset(stream(seed, "rows", name).permutation(len(source.data))[: n + m])
    data, trusted = rows.subset(range(n)), rows.subset(range(n, n + m))
    goal = AllToAll() if kind == "all-to-all" else AllToOne()
    attack = Poisoning(trigger, goal, RandomSelection(rate))
    made = attack.poison(data, stream(seed, "poison", name))
    scanner = DataScanner(training=TrainingConfig(epochs=epochs, batch_size=64))
    trained = scanner.train(made.data, trusted, source.domain, seed, Runtime())
    union = concatenate(made.data, trusted)
    view = View(union, domain=source.domain, model=trained.model, losses=trained.losses)
    judged = tuple(ask({d.name(): d for d in scanner.detectors}, view, n)[0].values())
    test = load_named(name, split="test").data.subset(range(TEST))
    rng = stream(seed, "trap", name)
    return {
        "set": name, "trigger": kind, "rate": rate, "seed": seed,
        "poisons": int(made.truth.poisoned.sum()),
        "attack_success": attack_success(trained.model, attack, test, source.domain, rng),
        "rules": lists(judged, made.data, trusted, made.truth.poisoned, seed, RULE),
        "detectors": [each.detector.name() for each in judged],
        "cpu_seconds": time.process_time() - began,
        "environment": environment(),
    }  # fmt: skip


def worlds(sets: list[str]) -> Iterator[World]:
    """All worlds of some sets."""
    for seed in range(max(seeds for *_, seeds in PLAN)):
        for name, kind, trigger, rates, seeds in PLAN:
            for rate in rates:
                label = f"{name}-{kind}-{rate:g}-seed{seed}"
                if name in sets and seed < seeds:
                    yield label, functools.partial(world, name, kind, trigger, rate, seed)


def simulated(poison: tuple[int, ...], shifts: tuple[float, ...], seed: int) -> dict[str, Any]:
    """Name examples in a world of normal scores that share some of their noise."""
    rng = np.random.default_rng((seed, *poison))
    classes = np.arange(len(poison))
    labels = np.repeat(classes, CLEAN + np.array(poison))
    poisoned = np.concatenate([np.arange(CLEAN + more) >= CLEAN for more in poison])
    own, n = np.repeat(classes, TRUSTED), len(labels)
    total = n + len(own)
    scores = rng.standard_normal((len(shifts), total)) + 0.5 * rng.standard_normal(total)
    scores[:, :n][:, poisoned] += np.array(shifts)[:, None]
    detectors: list[Any] = [SimpleNamespace(name=lambda i=i: f"{i}") for i in range(len(shifts))]
    judged = tuple(
        Judged(d, Scores(torch.from_numpy(s[:n])), torch.from_numpy(s[n:]), (), 0.0)
        for d, s in zip(detectors, scores, strict=True)
    )
    data, trusted = (
        dataset(torch.zeros(len(y), 1, 1, 1, dtype=torch.uint8), y, tuple(map(str, classes)))
        for y in (labels, own)
    )
    found = lists(judged, data, trusted, torch.from_numpy(poisoned), seed, QUICK)
    return {"poisons": sum(poison), "rules": found}


def simulated_worlds(_: list[str]) -> Iterator[World]:
    """The simulated worlds, a record for each kind."""
    for kind in SIMULATED:
        label = "simulated-" + kind.replace(",", "").replace(" ", "-")
        yield label, functools.partial(simulations, kind)


def simulations(kind: str) -> dict[str, Any]:
    """Many simulated worlds of one kind."""
    poison, shifts = SIMULATED[kind]
    found = [simulated(poison, shifts, seed) for seed in range(WORLDS)]
    return {"kind": kind, "worlds": found}


def share(count: int, n: int) -> str:
    """Write k/n with the exact interval as percentages."""
    _, low, high, _ = proportion(count, n)
    return f"{count}/{n} [{100 * low:.0f}, {100 * high:.0f}]"


HEADER = [
    "lists", "poison named", "clean among all named", "more clean than the 20 % stated",
    "more clean than the bound", "median bound", "a clean class flagged",
]  # fmt: skip


def row(found: Iterable[Any], rule: str) -> list[str]:
    """What one rule did over worlds; recall over all of them, the rest over those with a list."""
    every = [(r["poisons"], r["rules"][rule]) for r in found]
    given = [r for _, r in every if r["named"]]
    named, clean = sum(r["named"] for r in given), sum(r["clean"] for r in given)
    recall = [(r["named"] - r["clean"]) / poisons for poisons, r in every if poisons]
    bounded = [r for r in given if r["at_most"] is not None]
    broken = sum(r["clean"] > r["at_most"] for r in bounded)
    bounds = [r["at_most"] / r["named"] for r in bounded]
    return [
        f"{len(given)}/{len(every)}",
        f"{100 * np.mean(recall):.0f} %" if recall else "",
        f"{100 * clean / named:.1f} %" if named else "",
        share(sum(r["clean"] > FDR * r["named"] for r in given), len(given)),
        share(broken, len(bounded)) if bounded else "",
        f"{100 * np.median(bounds):.0f} %" if bounds else "",
        share(sum(r["clean_classes_flagged"] > 0 for _, r in every), len(every)),
    ]


def table() -> str:
    """Write the tables: real worlds together and by data set, then simulated ones."""
    found = records(FOLDER, "*-seed*")
    text = markdown(
        ["rule", *HEADER], [[rule, *row(found, rule)] for rule in (BEFORE, TOGETHER, BOUND)]
    )
    sets = [(s, [r for r in found if r["set"] == s]) for s in SIZES]
    rows = [
        [s, rule, *row(some, rule)]
        for s, some in sets
        if some
        for rule in (BEFORE, TOGETHER, BOUND)
    ]
    text += "\n" + markdown(["data set", "rule", *HEADER], rows)
    made = records(FOLDER, "simulated-*")
    rows = [
        [r["kind"], rule, *row(r["worlds"], rule)]
        for r in made
        for rule in (BEFORE, TOGETHER, BOUND)
    ]
    return text + "\n" + markdown(["simulated", "rule", *HEADER], rows)


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds, "simulate": simulated_worlds}, list(SIZES))
