"""Measure which detectors rank poisoned sentences of SST-2 before others.

    python recipes/text_detectors.py run         # the small network; resumable
    python recipes/text_detectors.py encoder     # features of an encoder; MITHRIDATE_ENCODER
    python recipes/text_detectors.py table

A world is a trigger with a seed, poisoned as in text_attacks.py. Filters rank the training examples
of the target class, guards rank triggered negative test sentences against positive ones, both of
which the network calls positive if the attack takes; guards are fitted on the validation sentences,
which the network has not seen. What asks a network about many changed inputs is left out on the
encoder.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any

import torch

from cells import markdown, records
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import concatenate
from mithridate.core.domain import suited
from mithridate.core.method import Detector
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.bki import Bki
from mithridate.detectors.cube import Cube
from mithridate.detectors.onion import Onion
from mithridate.detectors.rap import Rap
from mithridate.detectors.simple_features import SimpleFeatures
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.strip import Strip
from mithridate.stats.ranking import auroc
from text_attacks import HIGH, INSERTED, LOW, TARGET, TRIGGERS, encoder, source, victim
from worlds import World, command_line

FOLDER = "text_detectors"
SEEDS = 1
KINDS = (
    "word", "sentence", "zero width", "homoglyphs", "typos", "substitution", "syntax, when",
    "style, archaic",
)  # fmt: skip
FEATURES: tuple[Detector, ...] = (Cube(), ActivationClustering(), SpectralSignatures())
FILTERS: tuple[Detector, ...] = (*FEATURES, Bki(), SimpleFeatures())
GUARDS: tuple[Detector, ...] = (Cube(), Rap(), Strip(), Onion())


def world(network: str, kind: str, rate: float, seed: int) -> dict[str, Any]:
    """Poison, train, and let every detector rank."""
    (data, domain), test, known = source("train"), source("test")[0], source("validation")[0]
    domain = suited(domain, network)
    attack = Poisoning(TRIGGERS[kind], AllToOne(TARGET), RandomSelection(rate))
    made = attack.poison(data, stream(seed, "poison"))
    model, _ = victim(made.data, domain, network, seed)
    triggered = attack.triggered_test(test, stream(seed, "test"))
    both = concatenate(triggered, test.subset(test.labels == TARGET))
    inside = made.data.labels == TARGET
    scan = View(made.data, domain=domain, model=model)
    fitted, arriving = (View(part, domain=domain, model=model) for part in (known, both))
    told: dict[str, dict[str, float]] = {"filter": {}, "guard": {}, "seconds": {}}
    for detector in FEATURES if network else FILTERS:
        began = time.process_time()
        scores = detector.judge(scan).values[inside]
        told["seconds"][detector.name()] = time.process_time() - began
        told["filter"][detector.name()] = auroc(scores, made.truth.poisoned[inside])
    for detector in (Cube(), Onion()) if network else GUARDS:
        scores = detector.judge(arriving, fitted).values
        told["guard"][detector.name()] = auroc(scores, torch.arange(len(both)) < len(triggered))
    return {
        "network": "encoder" if network else "cnn", "trigger": kind, "rate": rate, "seed": seed,
        "accuracy": accuracy(model, test, domain)[0], **told, "environment": environment(),
        "asr": attack_success(model, attack, test, domain, stream(seed, "test"))[0],
    }  # fmt: skip


def worlds(network: str, sets: list[str]) -> Iterator[World]:
    """All worlds of one network."""
    for seed in range(SEEDS):
        for kind in KINDS:
            rate, where = LOW if kind in INSERTED else HIGH, "encoder" if network else "cnn"
            plain = kind.replace(", ", "-").replace(" ", "-")
            label = f"{where}-{plain}-{rate}-seed{seed}"
            yield label, functools.partial(world, network, kind, rate, seed)


def with_encoder(sets: list[str]) -> Iterator[World]:
    """The worlds of the encoder."""
    return worlds(encoder(), sets)


def table() -> str:
    """Write the mean AUROC of every detector over seeds, by network and trigger."""
    kept, rows = records(FOLDER, "*-seed*"), []
    for network in ("cnn", "encoder"):
        for kind in KINDS:
            cell = [r for r in kept if (r["network"], r["trigger"]) == (network, kind)]
            if cell:
                shown = [network, kind, f"{100 * cell[0]['rate']:g} %"]
                shown += [f"{100 * mean(cell, name):.1f}" for name in ("accuracy", "asr")]
                shown += [mark(cell, "filter", each) for each in FILTERS]
                rows.append([*shown, *(mark(cell, "guard", each) for each in GUARDS)])
    names = [*(each.name() for each in FILTERS), *(f"{each.name()}, guard" for each in GUARDS)]
    return markdown(["network", "trigger", "rate", "accuracy", "ASR", *names], rows)


def mean(cell: list[Any], name: str) -> float:
    """The mean of a figure over seeds."""
    return sum(float(record[name]) for record in cell) / len(cell)


def mark(cell: list[Any], role: str, detector: Detector) -> str:
    """The mean AUROC of a detector over seeds; empty where it was not asked."""
    some = [record[role] for record in cell if detector.name() in record[role]]
    return f"{mean(some, detector.name()):.2f}" if some else ""


if __name__ == "__main__":
    jobs = {"run": functools.partial(worlds, ""), "encoder": with_encoder}
    command_line(__doc__, FOLDER, table, jobs, ["sst2"])
