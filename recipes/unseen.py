"""A general defence, judged as one: scans tuned on some attacks and asked about others.

    python recipes/unseen.py run      # resumable; --sets for some domains
    python recipes/unseen.py table

A world is a domain, an attack and a seed, with clean worlds beside them. Every detector that can be
asked there gives a p-value for the data as a scan does, at level 0.05. A combination is a set of
detectors; its p-value is the least of theirs times their number, at most 1. It is chosen by greedy
search on the worlds of the *other* attacks, or of the other domains, and judged on the one that was
left out; so is the single detector that is best on the others. The ordinary scan was chosen long
before on images and texts, and is tested jointly instead. An attacker who knows the combination of
all attacks chooses the one of the variants of his attack that it finds least often on seeds of his
own, and is judged on others.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from cells import markdown, records
from episodes import played
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.bench.metrics.stealth import feature_shift, spectral_shift
from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.fit import TrainingConfig
from mithridate.core.inference import forward
from mithridate.core.method import Detector, Trigger
from mithridate.core.registry import find
from mithridate.core.runtime import Runtime, environment
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.catalogue import load_named
from mithridate.domains.formats import Source, read
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger
from mithridate.domains.image.triggers import PatchTrigger, PixelTrigger
from mithridate.domains.observation.triggers import ValueTrigger
from mithridate.domains.sound.room_triggers import EchoTrigger
from mithridate.domains.sound.triggers import ClickTrigger, ToneTrigger
from mithridate.domains.table.learnt_triggers import OccurringValuesTrigger
from mithridate.domains.table.triggers import ValuesTrigger
from mithridate.domains.text.character_triggers import UnseenTrigger
from mithridate.domains.text.rewriting_triggers import SyntacticTrigger
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger
from mithridate.pipelines.finding import Decision, Judged, Rule
from mithridate.pipelines.scan import DataScanner
from mithridate.stats.intervals import proportion
from mithridate.stats.ranking import auroc
from worlds import World, ask, command_line

FOLDER = "unseen"
RULE = Rule(0.05, 0.2, 0.01, 999)
ASIDE = ("random", "constant", "gradient-norm", "strongest-feature", "sentinet")
"""Controls, and two that cost more than all others together."""
TEST, TARGET = 400, 1


@dataclass(frozen=True)
class Place:
    """One domain: what is learnt there, how long, and how it is attacked."""

    data: str
    suspects: int
    trusted: int
    epochs: int
    attacks: dict[str, Trigger]
    network: str = ""
    augment: bool = True
    rate: float = 0.03


PLACES = {
    "images": Place(
        "mnist", 1_500, 500, 8,
        {
            "patch": PatchTrigger(),
            "pixel": PixelTrigger(),
            "blend": BlendTrigger(alpha=0.2),
            "sinusoid": SinusoidTrigger(delta=30),
        },
        "resnet9:8", augment=False,
    ),
    "texts": Place(
        "sst2", 1_500, 500, 8,
        {
            "word": WordTrigger(),
            "sentence": SentenceTrigger(),
            "syntax": SyntacticTrigger(),
            "unseen-characters": UnseenTrigger(),
        },
    ),
    "sounds": Place(
        "fsdd", 700, 300, 12,
        {"tone": ToneTrigger(), "click": ClickTrigger(), "echo": EchoTrigger()},
    ),
    "tables": Place(
        "unsw-nb15", 1_500, 500, 10,
        {
            "three-values": ValuesTrigger(),
            "one-value": ValuesTrigger(count=1),
            "random-columns": OccurringValuesTrigger(choose="random"),
            "explained-columns": OccurringValuesTrigger(),
        },
    ),
    "policies": Place(
        "cartpole", 1_500, 500, 8,
        {
            "pattern": ValueTrigger((0, 1), (1.5, -1.5)),
            "value": ValueTrigger((0,), (2.0,)),
        },
    ),
}  # fmt: skip
SEEDS, CLEAN_SEEDS = range(3), range(6)


def source(place: Place, split: str) -> Source:
    """The examples of a split, and their domain."""
    if place.data == "cartpole":
        return read(played(), split=split)
    return load_named(place.data, split)


def detectors(network: str) -> dict[str, Detector]:
    """Those that are asked, at their default settings, and the ordinary scan's among them."""
    ordinary = {d.name(): d for d in DataScanner(network=network).asked}
    others = {n: k() for n, k in find(Detector).items() if n not in (*ASIDE, *ordinary)}
    return ordinary | others


def world(name: str, kind: str, seed: int) -> dict[str, Any]:
    """Poison, train and ask every detector; kind: an attack or "clean"."""
    began, place = time.process_time(), PLACES[name]
    whole, n = source(place, "train"), place.suspects
    rows = stream(seed, "rows", name).permutation(len(whole.data))[: n + place.trusted]
    drawn = whole.data.subset(rows)
    data, trusted = drawn.subset(range(n)), drawn.subset(range(n, len(rows)))
    attack = Poisoning(
        place.attacks.get(kind, next(iter(place.attacks.values()))),
        AllToOne(TARGET), RandomSelection(place.rate if kind != "clean" else 0),
    )  # fmt: skip
    started = time.process_time()
    rng = stream(seed, "learn", name, kind)
    state = attack.learn(data, rng) if attack.learns else None
    made = attack.poison(data, stream(seed, "poison", name, kind), state)
    poison_seconds = time.process_time() - started
    training = TrainingConfig(epochs=place.epochs, batch_size=64, augment=place.augment)
    scanner = DataScanner(network=place.network, training=training)
    trained = scanner.train(made.data, trusted, whole.domain, seed, Runtime())
    union = concatenate(made.data, trusted)
    view = View(union, domain=whole.domain, model=trained.model, losses=trained.losses)
    judged, unheard = ask(detectors(place.network), view, n)

    def decide(some: tuple[Judged, ...]) -> Decision:
        return RULE.decide(some, made.data, trusted, stream(seed, "permute"))

    ordinary = tuple(judged[d.name()] for d in scanner.asked if d.name() in judged)
    poisoned = made.truth.poisoned
    test = source(place, "test").data
    test = test.subset(stream(0, "test", name).permutation(len(test))[:TEST])
    model, domain = trained.model, whole.domain
    rng = stream(seed, "trap", name)
    return {
        "domain": name, "attack": kind, "seed": seed, "poisons": int(poisoned.sum()),
        "accuracy": accuracy(model, test, domain),
        "attack_success": attack_success(model, attack, test, domain, rng, state=state),
        "noticed": noticed(model, attack.triggered_test(test, rng, state), test, domain),
        "spectral": spectral_shift(view.features[:n], poisoned, made.data.labels),
        "poison_seconds": poison_seconds,
        "ordinary": told(decide(ordinary), poisoned),
        "detectors": {
            d: told(decide((j,)), poisoned) | {"auroc": ranking(j, made.data.labels, poisoned)}
            for d, j in judged.items()
        },
        "unheard": unheard,
        "cpu_seconds": time.process_time() - began,
        "environment": environment(),
    }  # fmt: skip


def noticed(model: nn.Module, stamped: Dataset, test: Dataset, domain: Domain) -> dict[str, float]:
    """How far the trigger moves inputs, by the domain's own measures, and features."""
    before = test.subset(torch.isin(test.ids, stamped.ids))

    def features(data: Dataset) -> torch.Tensor:
        return forward(model, domain.prepare(data.inputs), Runtime())[0]

    moved = domain.difference(before.inputs, stamped.inputs)
    wanted = features(test.subset(test.labels == TARGET))
    return {name: float(values.mean()) for name, values in moved.items()} | {
        f"features: {name}": value
        for name, value in feature_shift(features(before), features(stamped), wanted).items()
    }


def told(decided: Decision, poisoned: torch.Tensor) -> dict[str, Any]:
    """The p-values of the data and of the target label's class, and what is named."""
    named = decided.flagged
    return {
        "p_value": decided.verdict.p_value,
        "target": min(decided.classes[TARGET].p_values.values()),
        "named": int(named.sum()),
        "clean": int((named & ~poisoned).sum()),
    }


def ranking(judged: Judged, labels: torch.Tensor, poisoned: torch.Tensor) -> float | None:
    """The AUROC of poisoned examples within the class of the target label; None without any."""
    rows = labels == TARGET
    return auroc(judged.scores.values[rows], poisoned[rows]) if poisoned.any() else None


def worlds(sets: list[str]) -> Iterator[World]:
    """All worlds of some domains."""
    for seed in CLEAN_SEEDS:
        for name in sets:
            for kind in ("clean", *PLACES[name].attacks):
                if kind == "clean" or seed in SEEDS:
                    label = f"{name}-{kind}-seed{seed}"
                    yield label, functools.partial(world, name, kind, seed)


Combination = tuple[str, ...]


def least(record: Any, some: Combination, which: str) -> float:
    """The p-value of a combination, of the data ("p_value") or of the right class ("target").

    Detectors that cannot be asked count for nothing, and a combination of none of them finds
    nothing.
    """
    heard = [record["detectors"][d][which] for d in some if d in record["detectors"]]
    return min(1.0, len(heard) * min(heard)) if heard else 1.0


def found(record: Any, some: Combination) -> bool:
    """Whether a combination flags the class of the target label."""
    return least(record, some, "target") <= RULE.level


def power(some: Combination, among: Sequence[Any]) -> tuple[float, float]:
    """The share of worlds in which it does, every attack counting the same; then how surely."""
    kinds: dict[tuple[str, str], list[tuple[bool, float]]] = {}
    for record in among:
        p_value = least(record, some, "target")
        kind = kinds.setdefault((record["domain"], record["attack"]), [])
        kind.append((p_value <= RULE.level, -np.log10(p_value)))
    every = np.array([np.mean(each, axis=0) for each in kinds.values()])
    return tuple(every.mean(0)) if len(every) else (0.0, 0.0)


def choose(among: Sequence[Any], most: int) -> Combination:
    """Choose detectors one after the other, as long as another one finds more."""
    names = sorted({d for record in among for d in record["detectors"]})
    chosen: Combination = ()
    while len(chosen) < most:
        rest = [(power((*chosen, d), among), (*chosen, d)) for d in names if d not in chosen]
        best = max(rest, key=lambda pair: pair[0])  # the first by name where several are equal
        if chosen and best[0][0] <= power(chosen, among)[0]:
            break
        chosen = best[1]
    return chosen


def share(hits: Iterable[bool]) -> str:
    """Write k/n with the exact interval as percentages."""
    counted = list(hits)
    _, low, high, _ = proportion(sum(counted), len(counted))
    return f"{sum(counted)}/{len(counted)} [{100 * low:.0f}, {100 * high:.0f}]"


MOST = 5


def leaving_out(poisoned: list[Any], part: Callable[[Any], Any]) -> list[list[str]]:
    """What is chosen on the rest finds in each part that was left out."""
    lines, totals = [], {"combination": [], "one": [], "ordinary": []}  # type: ignore[var-annotated]
    for left in dict.fromkeys(map(part, poisoned)):
        own = [r for r in poisoned if part(r) == left]
        rest = [r for r in poisoned if part(r) != left]
        some, one = choose(rest, MOST), choose(rest, 1)
        hits = {
            "combination": [found(r, some) for r in own],
            "one": [found(r, one) for r in own],
            "ordinary": [r["ordinary"]["target"] <= RULE.level for r in own],
        }
        for way, each in hits.items():
            totals[way] += each
        where = left if isinstance(left, str) else ", ".join(left)
        lines.append([where, ", ".join(some), share(hits["combination"]), ", ".join(one),
                      share(hits["one"]), share(hits["ordinary"])])  # fmt: skip
    lines.append(["all", "", share(totals["combination"]), "", share(totals["one"]),
                  share(totals["ordinary"])])  # fmt: skip
    return lines


HEADER = [
    "left out", "combination chosen on the rest", "finds", "best single one on the rest", "finds",
    "ordinary scan",
]  # fmt: skip


def took(record: Any) -> bool:
    """Whether the attack took: an ASR of one half or more."""
    return bool(record["attack_success"][0] >= 0.5)


def single(poisoned: list[Any], clean: list[Any]) -> list[list[str]]:
    """What every detector finds in each domain, and its false alarms over all of them."""
    names = sorted({d for record in poisoned for d in record["detectors"]})
    lines = []
    for name in names:
        cells = []
        for domain in PLACES:
            own = [r for r in poisoned if r["domain"] == domain and name in r["detectors"]]
            aucs = [r["detectors"][name]["auroc"] for r in own]
            hits = sum(found(r, (name,)) for r in own)
            tried = any(r["domain"] == domain for r in poisoned)
            cells.append(
                f"{hits}/{len(own)}, {np.mean(aucs):.2f}"
                if own
                else "cannot be asked"
                if tried
                else "not run"
            )
        alarms = [r for r in clean if name in r["detectors"]]
        lines.append([name, *cells, share(least(r, (name,), "p_value") <= RULE.level
                                          for r in alarms)])  # fmt: skip
    return lines


def taking(poisoned: list[Any], clean: list[Any], void: list[Any]) -> list[list[str]]:
    """How well each attack takes, how far it moves what it touches, and what it costs."""
    lines = []
    every = [*poisoned, *void]
    for domain, attack in dict.fromkeys((r["domain"], r["attack"]) for r in every):
        own = [r for r in every if (r["domain"], r["attack"]) == (domain, attack)]
        twins = [r for r in clean if r["domain"] == domain and r["seed"] in SEEDS]
        lost = np.mean([r["accuracy"][0] for r in twins]) - np.mean([r["accuracy"][0] for r in own])
        moved = {k: np.mean([r["noticed"][k] for r in own]) for k in own[0]["noticed"]}
        lines.append([
            domain, attack, f"{100 * PLACES[domain].rate:g} %",
            f"{100 * np.mean([r['attack_success'][0] for r in own]):.1f} %", f"{100 * lost:+.1f}",
            ", ".join(f"{k} {v:.3g}" for k, v in moved.items() if not k.startswith("features")),
            f"{moved['features: shift']:.2f}", f"{np.mean([r['spectral'] for r in own]):.1f}",
            f"{np.mean([r['poison_seconds'] for r in own]):.2f}",
        ])  # fmt: skip
    return lines


TAKING = [
    "domain", "attack", "share of the data", "ASR", "points of accuracy lost",
    "how far inputs move", "features move by", "poison apart in its class", "CPU seconds",
]  # fmt: skip


def table() -> str:
    """Write the tables: attacks left out, domains left out, single detectors, false alarms."""
    every = records(FOLDER, "*-seed*")
    clean = [r for r in every if r["attack"] == "clean"]
    poisoned = [r for r in every if r["attack"] != "clean" and took(r)]
    void = [r for r in every if r["attack"] != "clean" and not took(r)]
    whole = choose(poisoned, MOST)
    alarms = [
        ["ordinary scan", share(r["ordinary"]["p_value"] <= RULE.level for r in clean)],
        [", ".join(whole), share(least(r, whole, "p_value") <= RULE.level for r in clean)],
    ]
    parts = [
        f"{len(poisoned)} poisoned worlds in which the attack took, {len(void)} in which it did "
        f"not, {len(clean)} clean ones.\n",
        "### What the attacks do\n", markdown(TAKING, taking(poisoned, clean, void)),
        "### One attack left out\n",
        markdown(HEADER, leaving_out(poisoned, lambda r: (r["domain"], r["attack"]))),
        "### One domain left out\n", markdown(HEADER, leaving_out(poisoned, lambda r: r["domain"])),
        "### False alarms on clean worlds\n", markdown(["scan", "flagged"], alarms),
        "### Single detectors: worlds found, AUROC in the class\n",
        markdown(["detector", *PLACES, "false alarms"], single(poisoned, clean)),
    ]  # fmt: skip
    return "\n".join(parts)


if __name__ == "__main__":
    command_line(__doc__, FOLDER, table, {"run": worlds}, list(PLACES))
