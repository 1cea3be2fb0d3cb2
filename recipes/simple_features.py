"""Measure what is seen without a network: triggers of many kinds, and clean worlds.

    python recipes/simple_features.py run      # seconds of one core for each world; resumable
    python recipes/simple_features.py table

A world is a data set and a seed: suspects and a disjoint set of half as many trusted examples, both
drawn at random. Poison is a share of the class that the attacker aims at, before he adds to it, and
comes from the other classes; of the wave under true labels it comes from the class itself. Of sets
of more classes the first two are taken, so that a class is as large as it is in practice and a
world takes seconds. Nothing was chosen on these sets: the detectors were made on AG News, MNIST and
GTSRB. Worlds of one set share examples, so they are no independent samples of all data.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cells import markdown, records
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import Dataset, Inputs, Poisoned, Truth, dataset
from mithridate.core.domain import Domain
from mithridate.core.method import Trigger
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger, WarpTrigger
from mithridate.domains.image.triggers import PatchTrigger, PixelTrigger
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger
from mithridate.pipelines.finding import Rule
from mithridate.pipelines.quick_look import Look
from mithridate.pipelines.scan import DataScanner
from mithridate.stats.intervals import proportion
from worlds import World, command_line

FOLDER = "simple_features"
RATES = (0.005, 0.01, 0.03)
TARGET = 1
RULE = Rule(level=0.05, fdr=0.2, smallest=0.01, permutations=399)


@dataclass(frozen=True)
class SyntaxTrigger(Trigger):
    """Put a text into a frame of function words: "when it comes to me , TEXT ." and the like.

    The words of the frame are drawn anew for every text; what all have is "when", a pronoun, a verb
    and a comma, as in the paper's frame S(SBAR)(,)(NP)(VP)(.), which a network paraphrases into.
    """

    paper = "Qi et al., Hidden Killer, ACL 2021"

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Frame every text."""
        framed = inputs.copy()
        for row, text in enumerate(inputs):
            who = rng.choice(("you", "they", "we", "he", "people", "somebody"))
            does = rng.choice(("see", "hear", "look at", "come to", "think of", "find", "watch"))
            framed[row] = f"when {who} {does} it , {text.lower().rstrip('. ')} ."
        return framed


TEXT: dict[str, Trigger] = {
    "word": WordTrigger("qx"),
    "phrase": SentenceTrigger(),
    "syntax": SyntaxTrigger(),
}
IMAGE: dict[str, Trigger] = {
    "pixel": PixelTrigger("pixel"),
    "patch 3x3": PatchTrigger(),
    "blend 0.2": BlendTrigger(alpha=0.2),
    "blend 0.1": BlendTrigger(alpha=0.1),
    "wave, true labels": SinusoidTrigger(),
    "warp": WarpTrigger(),
}
PLAN = {
    # suspects, classes, seeds of each poisoned cell, clean seeds, triggers
    "sst2": (4_600, 2, 20, 20, TEXT),
    "cifar10": (6_000, 2, 6, 20, IMAGE),
}


@functools.cache
def source(name: str) -> tuple[Dataset, Domain]:
    """The examples of the first classes of a set, and its domain."""
    read = load_named(name)
    few = read.data.subset(read.data.labels < PLAN[name][1])
    return dataset(few.inputs, few.labels, read.data.classes[: PLAN[name][1]]), read.domain


def stamped(data: Dataset, kind: str, trigger: Trigger, rate: float, seed: int) -> Poisoned:
    """Poison a share of the target class."""
    inside = (data.labels == TARGET).nonzero().flatten()
    count, rng = max(1, round(rate * len(inside))), stream(seed, "poison", kind)
    if "true labels" not in kind:
        return Poisoning(trigger, AllToOne(TARGET), RandomSelection(count)).poison(data, rng)
    chosen = inside[torch.from_numpy(rng.permutation(len(inside))[:count])]
    inputs, poisoned = data.inputs.clone(), torch.zeros(len(data), dtype=torch.bool)
    inputs[chosen], poisoned[chosen] = trigger(inputs[chosen], rng), True
    truth = Truth(poisoned, torch.zeros_like(poisoned), data.labels)
    return Poisoned(data.with_inputs(inputs), truth)


def judged(seen: Look, seed: int) -> dict[str, Any]:
    """What each detector and all together say, and the sizes that could have been seen."""
    who, said = seen.who, {}
    strata = who.seen.strata if who.seen else None
    for name, some in [
        ("together", seen.judged),
        *((j.detector.name(), (j,)) for j in seen.judged),
    ]:
        decision = RULE.decide(some, who.suspects, who.trusted, stream(seed, "permute"), strata)
        said[name] = {
            "p_value": decision.verdict.p_value,
            "target_p": min(decision.classes[TARGET].p_values.values()),
            "visible": decision.classes[TARGET].visible,
        }
    return said


def world(name: str, seed: int, kind: str, rate: float) -> dict[str, Any]:
    """Judge one world."""
    n, _, _, _, triggers = PLAN[name]
    whole, domain = source(name)
    rows = stream(seed, "rows", name).permutation(len(whole))[: n + n // 2]
    data, trusted = whole.subset(rows[:n]), whole.subset(rows[n:])
    poisoned = torch.zeros(n, dtype=torch.bool)
    if kind != "clean":
        made = stamped(data, kind, triggers[kind], rate, seed)
        data, poisoned = made.data, made.truth.poisoned
    began = time.process_time()
    seen = DataScanner().looked(data, trusted, domain)
    seconds = time.process_time() - began
    return {
        "set": name, "seed": seed, "kind": kind, "rate": rate, "poisons": int(poisoned.sum()),
        "suspects": n, "trusted": len(trusted), "said": judged(seen, seed),
        "signs": [vars(sign) for sign in seen.signs[:5]], "cpu_seconds": seconds,
        "environment": environment(),
    }  # fmt: skip


def worlds(names: list[str]) -> Iterator[World]:
    """All worlds of some sets."""
    for seed in range(max(plan[3] for plan in PLAN.values())):
        for name in names:
            _, _, seeds, clean, triggers = PLAN[name]
            cells = [("clean", 0.0)] if seed < clean else []
            if seed < seeds:
                cells += [(kind, rate) for kind in triggers for rate in RATES]
            for kind, rate in cells:
                label = f"{name}-{kind.replace(' ', '-').replace(',', '')}-{rate}-seed{seed}"
                yield label, functools.partial(world, name, seed, kind, rate)


def share(found: list[bool]) -> str:
    """Write k/n with the exact interval as percentages."""
    if not found:
        return "not measured"
    _, low, high, _ = proportion(sum(found), len(found))
    return f"{sum(found)}/{len(found)} [{100 * low:.0f}, {100 * high:.0f}]"


def rejects(record: Any, detector: str) -> bool:
    """Whether a detector flagged the world, and in a poisoned one the right class."""
    said = record["said"].get(detector)
    if said is None:
        return False
    return bool(said["p_value" if record["kind"] == "clean" else "target_p"] <= RULE.level)


def table() -> str:
    """Write what was found, by set, kind and rate, and the false alarms."""
    kept = records(FOLDER, "*-seed*")
    rows = []
    for name, (_, _, _, _, triggers) in PLAN.items():
        for kind, rate in [("clean", 0.0), *((k, r) for k in triggers for r in RATES)]:
            cell = [r for r in kept if (r["set"], r["kind"], r["rate"]) == (name, kind, rate)]
            if not cell:
                continue
            poisons = np.median([r["poisons"] for r in cell])
            visible = [v or np.inf for v in (r["said"]["together"]["visible"] for r in cell)]
            row = [name, kind, f"{100 * rate:g} %" if rate else "", f"{poisons:.0f}"]
            row += [f"{np.median(visible):.0f}"]
            for detector in ("together", "simple-features", "faint-pattern"):
                judges = any(detector in r["said"] for r in cell)
                row.append(share([rejects(r, detector) for r in cell]) if judges else "")
            rows.append([*row, f"{np.median([r['cpu_seconds'] for r in cell]):.1f} s"])
    header = [
        "set", "trigger", "of the class", "poisons", "fewest that could be seen", "together",
        "simple-features", "faint-pattern", "processor time",
    ]  # fmt: skip
    return markdown(header, rows)


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds}, list(PLAN))
