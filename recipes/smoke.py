"""A sweep that ends in two minutes on two cores: digits, two attacks, two detectors, three seeds.

    mithridate bench run recipes/smoke.py

The rates are high, since a thousand digits hold few examples: 5 % are fifty.
"""

from __future__ import annotations

from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.cell import Cell, Task, grid
from mithridate.core.fit import TrainingConfig
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.image.global_triggers import BlendTrigger
from mithridate.domains.image.triggers import PatchTrigger

DIGITS = Task("digits", train=1_000, training=TrainingConfig(epochs=10, batch_size=64))
PATCH = Poisoning(PatchTrigger(size=2, row=-2, column=-2, style="white"))
BLEND = Poisoning(BlendTrigger())


def sweep() -> list[Cell]:
    """2 attacks x 2 rates x 3 seeds x 2 detectors and 4 controls: 72 cells."""
    detectors = {
        "spectral-signatures": SpectralSignatures(),
        "activation-clustering": ActivationClustering(),
    }
    attacks = {"badnets": PATCH, "blended": BLEND}
    return grid({"digits": DIGITS}, attacks, detectors, rates=(0.0, 0.05), trusted=(400,))
