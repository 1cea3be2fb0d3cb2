"""The attackers of the tables on CIFAR-10, at the defaults of their triggers.

These are the papers' settings where the docstring of a trigger does not say otherwise; LIRA,
Refool, SSBA, TrojanNN, label-consistent, Sleeper Agent and targeted weights differ, as told there.

Whether one takes on a small network after a short training is in the tables, void cells included.
"""

from __future__ import annotations

from mithridate.attacks.named import named_attack
from mithridate.bench.cell import Task
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Attack

TASK = Task(
    "cifar10",
    train=20_000,
    test=2_000,
    training=TrainingConfig(epochs=6, batch_size=128, augment=False),
)
"""A part of CIFAR-10 on the narrow ResNet-9, without augmentation: what two cores can train often.

Size and length were chosen by the success of undefended attacks on seed 0.
"""
NETWORK = "resnet9:8"

DIRTY: dict[str, Attack] = {
    name: named_attack(name)
    for name in (
        "badnets", "blended", "low-frequency", "wanet", "input-aware", "ssba", "trojan-nn", "bpp",
    )
}  # fmt: skip
"""Eight of the published benchmark's ten; the other two keep the labels clean."""

CLEAN: dict[str, Attack] = {name: named_attack(name) for name in ("sig", "label-consistent")}

MORE: dict[str, Attack] = {
    name: named_attack(name) for name in ("lira", "ftrojan", "refool", "adv-door", "blind", "tbt")
}
MORE_CLEAN: dict[str, Attack] = {
    name: named_attack(name) for name in ("narcissus", "sleeper-agent")
}

DIRTY_RATES, CLEAN_RATES = (0.01, 0.1), (0.01, 0.05)
"""Clean labels go up to half of a class: a tenth of the data would be all of it."""
