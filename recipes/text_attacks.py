"""Measure what every trigger for texts costs and gives its attacker on SST-2, and how far it shows.

    python recipes/text_attacks.py run           # the small network; resumable
    python recipes/text_attacks.py encoder       # features of an encoder; MITHRIDATE_ENCODER
    python recipes/text_attacks.py table

A world is a trigger, a share of the training examples that gets it together with the label
"positive", a seed and a network. Accuracy is that on clean test sentences, ASR the share of
triggered negative test sentences that are called positive, beside the same share in the clean twin,
which was trained without poison: a trigger that makes sentences unintelligible has a high one
there. Stealth is what `difference` measures between a sentence and its triggered twin, means over
the test sentences. MITHRIDATE_ENCODER names the folder of an encoder, as `--network` takes it; what
it says of a sentence is kept within a run, so that its trainings pay for new sentences alone.
"""

from __future__ import annotations

import functools
import os
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
from mithridate.core.domain import Domain, suited
from mithridate.core.method import Trigger
from mithridate.core.runtime import environment
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.text.character_triggers import (
    HomoglyphTrigger,
    TypoTrigger,
    UnseenTrigger,
)
from mithridate.domains.text.rewriting_triggers import (
    StyleTrigger,
    SubstitutionTrigger,
    SyntacticTrigger,
)
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger
from mithridate.pipelines.scan import choose_training
from mithridate.pipelines.training import train
from mithridate.trainers.standard import Standard
from worlds import World, command_line

FOLDER = "text_attacks"
TARGET = 1
SEEDS = 3
LOW, HIGH = 0.02, 0.1
"""Shares of the examples: what puts the same thing into every text needs fewer."""
TRIGGERS: dict[str, Trigger] = {
    "word": WordTrigger(),
    "sentence": SentenceTrigger(),
    "homoglyphs": HomoglyphTrigger(),
    "zero width": UnseenTrigger(),
    "braille blank": UnseenTrigger("braille-blank"),
    "typos": TypoTrigger(),
    "substitution": SubstitutionTrigger(),
    "syntax, when": SyntacticTrigger(),
    "syntax, fronted": SyntacticTrigger("fronted"),
    "syntax, cleft": SyntacticTrigger("cleft"),
    "syntax, question": SyntacticTrigger("question"),
    "style, archaic": StyleTrigger(),
    "style, chat": StyleTrigger("chat"),
    "style, formal": StyleTrigger("formal"),
}
INSERTED = ("word", "sentence", "zero width", "braille blank")


@functools.cache
def source(part: str) -> tuple[Dataset, Domain]:
    """One part of SST-2."""
    read = load_named("sst2", part)
    return read.data, read.domain


def victim(data: Dataset, domain: Domain, network: str, seed: int) -> tuple[nn.Module, float]:
    """Train a network, and say how many seconds of a processor that took."""
    began = time.process_time()
    trained = train(Standard(choose_training(len(data))), data, domain, seed, network=network)
    return trained.model, time.process_time() - began


@functools.cache
def twin(network: str, seed: int) -> tuple[nn.Module, float]:
    """The network without poison."""
    data, domain = source("train")
    return victim(data, suited(domain, network), network, seed)


def world(network: str, kind: str, rate: float, seed: int) -> dict[str, Any]:
    """Poison, train, and measure."""
    data, domain = source("train")
    test, domain = source("test")[0], suited(domain, network)
    trigger = TRIGGERS[kind]
    attack = Poisoning(trigger, AllToOne(TARGET), RandomSelection(rate))
    clean, _ = twin(network, seed)
    model, seconds = victim(attack.poison(data, stream(seed, "poison")).data, domain, network, seed)
    stamped = trigger(test.inputs, stream(seed, "stealth"))
    far = domain.difference(test.inputs, stamped)
    asr = [attack_success(m, attack, test, domain, stream(seed, "test"))[0] for m in (model, clean)]
    return {
        "network": "encoder" if network == encoder() else "cnn", "trigger": kind, "rate": rate,
        "seed": seed, "accuracy": accuracy(model, test, domain)[0],
        "clean_accuracy": accuracy(clean, test, domain)[0], "asr": asr[0], "clean_asr": asr[1],
        "stealth": {name: float(value.mean()) for name, value in far.items()},
        "cpu_seconds": seconds, "environment": environment(),
    }  # fmt: skip


def encoder() -> str:
    """The name of the network that is an encoder."""
    return f"huggingface:{os.environ.get('MITHRIDATE_ENCODER', 'encoder')}"


def worlds(network: str, seeds: int, sets: list[str]) -> Iterator[World]:
    """All worlds of one network."""
    for seed in range(seeds):
        for kind in TRIGGERS:
            rate = LOW if kind in INSERTED else HIGH
            where = "cnn" if network == "" else "encoder"
            plain = kind.replace(", ", "-").replace(" ", "-")
            label = f"{where}-{plain}-{rate}-seed{seed}"
            yield label, functools.partial(world, network, kind, rate, seed)


def with_encoder(sets: list[str]) -> Iterator[World]:
    """The worlds of the encoder."""
    return worlds(encoder(), SEEDS, sets)


def table() -> str:
    """Write accuracy, success and stealth by network, trigger and rate."""
    kept, rows = records(FOLDER, "*-seed*"), []
    for network in ("cnn", "encoder"):
        for kind in TRIGGERS:
            cell = [r for r in kept if (r["network"], r["trigger"]) == (network, kind)]
            if cell:
                rows.append([network, kind, f"{100 * cell[0]['rate']:g} %", *figures(cell)])
    header = [
        "network", "trigger", "rate", "accuracy", "of the clean twin", "ASR", "in the clean twin",
        "words edited", "cosine", "perplexity", "training",
    ]  # fmt: skip
    return markdown(header, rows)


def figures(cell: list[Any]) -> list[str]:
    """The columns of a cell."""
    shares = ("accuracy", "clean_accuracy", "asr", "clean_asr")
    row = [average((r[name] for r in cell), bounded=True) for name in shares]
    stealth = ("edits", "cosine", "perplexity")
    row += [f"{np.mean([r['stealth'][measure] for r in cell]):.2f}" for measure in stealth]
    return [*row, f"{np.median([r['cpu_seconds'] for r in cell]):.0f} s"]


if __name__ == "__main__":
    jobs = {"run": functools.partial(worlds, "", SEEDS), "encoder": with_encoder}
    command_line(__doc__, FOLDER, table, jobs, ["sst2"])
