"""Populations of small networks, clean and backdoored, on which scanners of models are judged.

A place is a task and an architecture. Each has clean networks, one seed each, and backdoored ones:
attacks, wanted classes and poison rates vary from network to network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.cell import Cell, Control, Defence, Task
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Trigger
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger
from mithridate.domains.image.triggers import PatchTrigger

SHORT = TrainingConfig(epochs=6, batch_size=128, augment=False)
TASKS = {
    "mnist": Task("mnist", 5_000, 1_000, replace(SHORT, epochs=3)),
    "cifar10": Task("cifar10", 10_000, 1_000, SHORT),
    "gtsrb": Task("gtsrb", None, 1_000, replace(SHORT, epochs=4)),
}
CLASSES = {"mnist": 10, "cifar10": 10, "gtsrb": 43}
PLACES = (("mnist", "resnet9:8"), ("mnist", "vgg:8"), ("cifar10", "resnet9:8"))
"""Where verdicts are counted; GTSRB is for the question of precision only."""

TRIGGERS: dict[str, Trigger] = {
    "badnets": PatchTrigger(style="white"),
    "patch 5x5": PatchTrigger(size=5, row=0, column=0, style="checker"),
    "blended": BlendTrigger(alpha=0.2),
    "sinusoid": SinusoidTrigger(delta=30.0),
}
RATES = (0.05, 0.1, 0.02)
TRUSTED = 500
CLEAN, POISONED = 21, 24
"""Networks of each place; some attacks will not take, and 20 must be left for the level of 5 %."""


def backdoors(
    task: str, names: tuple[str, ...] = tuple(TRIGGERS)
) -> Iterator[tuple[str, Poisoning, float]]:
    """Attacks one after the other, each with another trigger, wanted class and rate; no end."""
    number = 0
    while True:
        name, wanted = names[number % len(names)], (3 * number + 1) % CLASSES[task]
        goal = AllToOne(wanted)
        attack = Poisoning(TRIGGERS[name], goal, RandomSelection())
        yield f"{name} to {wanted}", attack, RATES[number % len(RATES)]
        number += 1


def population(
    place: tuple[str, str],
    defences: Mapping[str, Defence | Control],
    precision: str = "fp32",
    *,
    clean: int = CLEAN,
    poisoned: int = POISONED,
    names: tuple[str, ...] = tuple(TRIGGERS),
    rates: tuple[float, ...] = (),
) -> list[Cell]:
    """The cells of every network of a place under every defence."""
    task, network = place
    plain = Poisoning(TRIGGERS["badnets"], AllToOne(0), RandomSelection())
    wanted: list[tuple[str, Poisoning, float, int]] = [
        ("badnets to 0", plain, 0.0, seed) for seed in range(clean)
    ]
    several = backdoors(task, names)
    for number in range(poisoned):
        name, attack, rate = next(several)
        wanted.append((name, attack, rates[number % len(rates)] if rates else rate, 100 + number))
    return [
        Cell(
            TASKS[task], attack, rate, defence, TRUSTED, seed, network, precision,
            names=(task, name, label), role="control" if label == "none" else "defence",
        )
        for name, attack, rate, seed in wanted
        for label, defence in defences.items()
    ]  # fmt: skip


LONGER = {
    "mnist": replace(TASKS["mnist"], train=10_000, training=replace(SHORT, epochs=6)),
    "cifar10": replace(TASKS["cifar10"], training=replace(SHORT, epochs=12, augment=True)),
}
"""The same tasks, trained for longer, on more data or with augmentation."""


def otherwise(defences: Mapping[str, Defence | Control], precision: str = "fp32") -> list[Cell]:
    """Clean networks that were made in another way than those of the places."""
    return [
        replace(cell, task=task, names=(f"{name}, longer", *cell.names[1:]))
        for name, task in LONGER.items()
        for cell in population((name, "resnet9:8"), defences, precision, clean=8, poisoned=0)
    ]


def signs(defences: Mapping[str, Defence | Control], precision: str) -> list[Cell]:
    """GTSRB: twenty clean networks and eight with two backdoors at a tenth of the data."""
    return population(
        ("gtsrb", "resnet9:8"), defences, precision,
        clean=20, poisoned=8, names=("badnets", "blended"), rates=(0.1,),
    )  # fmt: skip
