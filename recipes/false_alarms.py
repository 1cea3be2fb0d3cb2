"""Measure how often a scan calls clean data poisoned, and how often it finds poison.

    python recipes/false_alarms.py run      # hours of one core; resumable
    python recipes/false_alarms.py table

A world is a data set and a seed: 2,000 suspects (digits: 1,000) and a disjoint pool of trusted
examples, of which the scan gets the first m. Each world is scanned clean and, for the first seeds,
with 5 % of the suspects poisoned (a chequered patch, or a rare word). Its success is measured by
the referee on test data that no scan sees; a twin where it is below 50 % is void for power.
Without trusted examples a scan always answers "cannot judge", so no false alarm is possible there
and only its ranking is measured.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from cells import markdown, records
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success, detection
from mithridate.core.data import Dataset, Truth
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Trigger
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.domains.text.triggers import WordTrigger
from mithridate.pipelines.scan import DataScan, DataScanner
from mithridate.stats.enrichment import enrichment
from mithridate.stats.intervals import Interval, proportion
from worlds import World, command_line

FOLDER = "false_alarms"
POOL, TEST = 2_500, 1_000
TRUSTED = (0, 250, 1_000, 2_500)
PLAN = {
    # suspects, clean seeds, poisoned seeds; more of what is cheap
    "sst2": (2_000, 8, 3),
    "ag-news": (2_000, 8, 3),
    "mnist": (2_000, 8, 3),
    "digits": (1_000, 10, 3),
    "gtsrb": (2_000, 3, 3),
    "cifar10": (2_000, 3, 3),
}
RECIPE = TrainingConfig(epochs=12, batch_size=64)
SCANNER = DataScanner(training=RECIPE, permutations=399)


def attack(name: str) -> Poisoning:
    """The attack of a data set's poisoned twin: a rare word, or a patch that suits the size."""
    triggers: dict[str, Trigger] = {
        "sst2": WordTrigger(),
        "ag-news": WordTrigger(),
        "digits": PatchTrigger(size=2, row=-2, column=-2, style="white"),
        "mnist": PatchTrigger(),
    }
    trigger = triggers.get(name, PatchTrigger(size=5, row=-6, column=-6))
    return Poisoning(trigger, selection=RandomSelection(0.05))


def draw(data: Dataset, seed: int, place: str, n: int) -> Dataset:
    """Draw n rows."""
    return data.subset(stream(seed, "rows", place).permutation(len(data))[:n])


def alone(scan: DataScan, data: Dataset, trusted: Dataset, seed: int) -> dict[str, float]:
    """The p-value that each detector alone would have given the data set."""
    labels = torch.cat([data.labels, trusted.labels]).numpy()
    is_trusted = np.arange(len(labels)) >= len(data)
    return {
        j.detector.name(): enrichment(
            torch.cat([j.scores.values, j.trusted]).numpy()[None],
            labels,
            is_trusted,
            len(data.classes),
            stream(seed, "alone"),
            permutations=399,
        ).p_value
        for j in scan.judged
    }


def record(scan: DataScan, data: Dataset, trusted: Dataset, truth: Truth, seed: int) -> Any:
    """What one scan said and, by the truth, how right it was."""
    flagged = scan.flagged
    return {
        "verdict": scan.verdict.answer,
        "p_value": scan.verdict.p_value,
        "alone": alone(scan, data, trusted, seed) if len(trusted) else {},
        "flagged": int(flagged.sum()),
        "flagged_clean": int((flagged & ~truth.poisoned).sum()),
        "poisons": int(truth.poisoned.sum()),
        "by": [c.by for c in scan.classes if c.by],
        "visible": [c.visible for c in scan.classes],
        "detection": {
            j.detector.name(): detection(j.scores.values, truth, data.labels)
            for j in scan.judged
            if truth.poisoned.any()
        },
        "seconds": scan.cost["seconds"],
    }


def world(name: str, seed: int, m: int, poisoned: bool) -> Any:
    """Run one scan of one world."""
    began = time.process_time()
    source = load_named(name)
    n = PLAN[name][0]
    rows = draw(source.data, seed, name, n + POOL)
    data, trusted = rows.subset(range(n)), rows.subset(range(n, n + m))
    test = draw(load_named(name, split="test").data, seed, f"{name} test", TEST)
    nobody = torch.zeros(n, dtype=torch.bool)
    truth, plan = Truth(nobody, nobody, data.labels), attack(name)
    if poisoned:
        made = plan.poison(data, stream(seed, "poison", name))
        data, truth = made.data, made.truth
    scan = SCANNER.scan(data, trusted if m else None, source.domain, seed)
    found = record(scan, data, trusted, truth, seed)
    if poisoned:
        rng = stream(seed, "trap", name)
        found["attack_success"] = attack_success(scan.model, plan, test, source.domain, rng)
    found["natural"] = accuracy(scan.model, test, source.domain)
    found["cpu_seconds"] = time.process_time() - began
    setting = {"set": name, "seed": seed, "m": m, "poisoned": poisoned, "n": n}
    return {**setting, **found, "recipe": vars(RECIPE), "environment": environment()}


def worlds(names: list[str]) -> Iterator[World]:
    """All scans of some sets."""
    seeds = range(max(clean for _, clean, _ in PLAN.values()))
    for twin, seed, name, m in itertools.product((False, True), seeds, names, TRUSTED):
        _, clean, poisoned = PLAN[name]
        if seed >= (poisoned if twin else clean) or (m == 0 and (seed or not twin)):
            continue
        if name == "digits" and m > 250:
            continue  # it has 1,442 examples to train on
        label = f"{name}-{'poisoned' if twin else 'clean'}-m{m}-seed{seed}"
        yield label, functools.partial(world, name, seed, m, twin)


def share(found: list[bool]) -> str:
    """Write k/n with the exact interval as percentages."""
    k, n = sum(found), len(found)
    _, low, high, _ = proportion(k, n)
    return f"{k}/{n} [{100 * low:.0f}, {100 * high:.0f}]"


def took(r: Any) -> bool:
    """Tell whether the attack of a poisoned twin took."""
    return bool(Interval(*r["attack_success"]).value >= 0.5)


def by_detector(found: list[Any], detector: str) -> list[str]:
    """One row of the table: false alarms and power of one detector, or of all together, by m."""

    def rejects(r: Any) -> bool:
        if detector == "combined":
            return bool(r["verdict"] == "flagged")
        return bool(r["alone"][detector] <= 0.05)

    cells = []
    for m in TRUSTED[1:]:
        clean = [rejects(r) for r in found if r["m"] == m and not r["poisoned"]]
        caught = [rejects(r) for r in found if r["m"] == m and r["poisoned"] and took(r)]
        cells += [share(clean), share(caught)]
    return [detector, *cells]


def table() -> str:
    """Write the tables: rates by detector and m, by data set, and the lists of examples."""
    found = records(FOLDER, "*-seed*")
    judged = [r for r in found if r["m"]]
    names = ["combined", *judged[0]["alone"]] if judged else []
    header = ["detector"]
    for m in TRUSTED[1:]:
        header += [f"m = {m}: false alarms", f"m = {m}: found"]
    text = markdown(header, [by_detector(judged, name) for name in names])
    sets = sorted({r["set"] for r in found})
    rows = [[s, *by_detector([r for r in judged if r["set"] == s], "combined")[1:]] for s in sets]
    text += "\n" + markdown(["data set (combined)", *header[1:]], rows)
    return text + "\n" + lists(judged)


def lists(found: list[Any]) -> str:
    """Write how right the lists of named examples were, by m, over the poisoned twins."""
    rows = []
    for m in TRUSTED[1:]:
        cells = [r for r in found if r["m"] == m and r["poisoned"] and took(r)]
        false = [r["flagged_clean"] / max(r["flagged"], 1) for r in cells]
        hit = [(r["flagged"] - r["flagged_clean"]) / r["poisons"] for r in cells]
        void = sum(not took(r) for r in found if r["m"] == m and r["poisoned"])
        average = [f"{100 * np.mean(v):.1f} %" if v else "" for v in (false, hit)]
        rows.append([str(m), str(len(cells)), *average, str(void)])
    header = ["m", "poisoned twins", "mean share of named that are clean (stated: 20 % at most)"]
    return markdown([*header, "mean share of poison named", "void (attack did not take)"], rows)


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds}, list(PLAN))
