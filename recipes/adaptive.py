"""Attackers who know the detectors, beside the same attack unaware, and what tuning is worth.

    mithridate bench run recipes/adaptive.py

MNIST, since a training takes seconds there. Each detector names the attack made for it (`adapted`);
feature matching trains the network itself and hides the poison in it, the two others are data.
Settings are the detectors' own, chosen on what the defender has (poison of the defender's own
making, a blended pattern), or chosen on the truth, which is called oracle. The settings next to the
default say how stable each detector is.
"""

from __future__ import annotations

from typing import Any

from mithridate.attacks.named import named_attack
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.cell import Cell, Rules, Task, grid
from mithridate.core.fit import TrainingConfig
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.spectre import Spectre
from mithridate.domains.image.global_triggers import BlendTrigger
from mithridate.domains.image.triggers import PatchTrigger

TASK = Task(
    "mnist",
    train=6_000,
    test=2_000,
    training=TrainingConfig(epochs=4, batch_size=64, augment=False),
)
PATCH = Poisoning(PatchTrigger(style="white"))
PROBE = Poisoning(BlendTrigger(alpha=0.3, seed=7), selection=RandomSelection())


ATTACKS = {
    name: named_attack(name)
    for name in ("badnets", "adaptive-blend", "adaptive-patch", "feature-matching")
}
DETECTORS = {
    "spectral-signatures": SpectralSignatures(),
    "activation-clustering": ActivationClustering(),
    "spectre": Spectre(),
}


def sweep() -> list[Cell]:
    """4 attacks x 2 rates x 3 seeds x 3 detectors tuned in 3 ways, and for one their neighbours."""
    shared: dict[str, Any] = {
        "rates": (0.0, 0.03), "trusted": (400,), "networks": ("resnet9:4",),
        "rules": Rules(probe=PROBE),
    }  # fmt: skip
    tuned = grid(
        {"mnist": TASK}, ATTACKS, DETECTORS, tunings=("default", "granted", "oracle"), **shared
    )
    near = grid({"mnist": TASK}, {"badnets": PATCH}, DETECTORS, neighbours=True, **shared)
    return tuned + [cell for cell in near if cell.role == "neighbour"]


if __name__ == "__main__":
    from tables import detection, stable, write

    write("adaptive", sweep, lambda table: f"{detection(table)}\n{stable(table)}")
