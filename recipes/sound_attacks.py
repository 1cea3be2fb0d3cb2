"""Measure what every trigger for sounds gives its attacker on FSDD, and how far it shows.

    python recipes/sound_attacks.py run           # resumable
    python recipes/sound_attacks.py table

A world is a trigger, a share of the training clips that gets it together with the label "0", and a
seed. Accuracy is that on clean test clips, ASR the share of triggered test clips of other digits
that are called 0, beside the same share in the clean twin, which was trained without poison.
Stealth is what `difference` measures between a clip and its triggered twin, means over the test
clips. The test clips are other recordings of the same six speakers, so the accuracy says nothing
about voices that were never heard.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import nn

from cells import average, markdown, records
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.sound.attacks import ATTACKS
from mithridate.pipelines.scan import choose_training
from mithridate.pipelines.training import train
from mithridate.trainers.standard import Standard
from worlds import World, command_line

FOLDER = "sound_attacks"
TARGET = 0
RATES = (0.05,)
SEEDS = 3
TRIGGERS = {attack.name: attack.trigger for attack in ATTACKS}


@functools.cache
def source(part: str) -> tuple[Dataset, Domain]:
    """One part of FSDD."""
    read = load_named("fsdd", part)
    return read.data, read.domain


def victim(data: Dataset, domain: Domain, seed: int) -> tuple[nn.Module, float]:
    """Train a network, and say how many seconds of a processor that took."""
    began = time.process_time()
    trained = train(Standard(choose_training(len(data))), data, domain, seed)
    return trained.model, time.process_time() - began


@functools.cache
def twin(seed: int) -> tuple[nn.Module, float]:
    """The network without poison."""
    return victim(*source("train"), seed)


def world(kind: str, rate: float, seed: int) -> dict[str, Any]:
    """Poison, train, and measure."""
    data, domain = source("train")
    test = source("test")[0]
    attack = Poisoning(TRIGGERS[kind], AllToOne(TARGET), RandomSelection(rate))
    clean, _ = twin(seed)
    model, seconds = victim(attack.poison(data, stream(seed, "poison")).data, domain, seed)
    stamped = TRIGGERS[kind](test.inputs, stream(seed, "stealth"))
    far = domain.difference(test.inputs, stamped)
    asr = [attack_success(m, attack, test, domain, stream(seed, "test"))[0] for m in (model, clean)]
    return {
        "trigger": kind, "rate": rate, "seed": seed, "accuracy": accuracy(model, test, domain)[0],
        "clean_accuracy": accuracy(clean, test, domain)[0], "asr": asr[0], "clean_asr": asr[1],
        "stealth": {name: float(value.mean()) for name, value in far.items()},
        "cpu_seconds": seconds, "environment": environment(),
    }  # fmt: skip


def worlds(seeds: int, sets: list[str]) -> Iterator[World]:
    """All worlds."""
    for seed in range(seeds):
        for kind in TRIGGERS:
            for rate in RATES:
                yield f"{kind}-{rate}-seed{seed}", functools.partial(world, kind, rate, seed)


def table() -> str:
    """Write accuracy, success and stealth by trigger and rate."""
    kept, rows = records(FOLDER, "*-seed*"), []
    for kind in TRIGGERS:
        for rate in RATES:
            cell = [r for r in kept if (r["trigger"], r["rate"]) == (kind, rate)]
            if cell:
                rows.append([kind, f"{100 * rate:g} %", *figures(cell)])
    header = [
        "trigger", "rate", "accuracy", "of the clean twin", "ASR", "in the clean twin",
        "SNR, dB", "log-spectral distance, dB", "STOI", "training",
    ]  # fmt: skip
    return markdown(header, rows)


def figures(cell: list[Any]) -> list[str]:
    """The columns of a cell."""
    shares = ("accuracy", "clean_accuracy", "asr", "clean_asr")
    row = [average((r[name] for r in cell), bounded=True) for name in shares]
    for measure in ("snr", "distance", "stoi"):
        values = [r["stealth"][measure] for r in cell if measure in r["stealth"]]
        row.append(f"{np.mean(values):.2f}" if values else "-")
    return [*row, f"{np.median([r['cpu_seconds'] for r in cell]):.0f} s"]


if __name__ == "__main__":
    jobs = {"run": functools.partial(worlds, SEEDS)}
    command_line(__doc__, FOLDER, table, jobs, ["fsdd"])
