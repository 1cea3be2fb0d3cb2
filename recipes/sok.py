"""The grid of the SoK on evaluating backdoor defences, as far as its parts are here.

    mithridate bench plan recipes/sok.py   # says what it costs before anything runs

Three data sets of growing difficulty, four families of networks, rates from 0 to 20 %. CIFAR-100
and ImageNet-1K are read from folders of images, one folder a class, under MITHRIDATE_DATA; where
they are absent their cells are skipped with that reason, and so are networks that are not here yet
(DenseNet-121). AdvDoor and Narcissus join the attacks when they are here.
"""

from __future__ import annotations

import os
from pathlib import Path

from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.cell import Cell, Task, grid
from mithridate.core.fit import TrainingConfig
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.spectre import Spectre
from mithridate.domains.image.global_triggers import BlendTrigger, WarpTrigger
from mithridate.domains.image.triggers import PatchTrigger

NETWORKS = ("preact-resnet18", "vgg", "vit", "densenet121")
RATES = (0.0, 0.005, 0.01, 0.05, 0.2)


def sweep() -> list[Cell]:
    """3 data sets x 4 networks x 3 attacks x 5 rates x 3 seeds x 3 detectors and 4 controls."""
    home = Path(os.environ.get("MITHRIDATE_DATA", "."))
    config = TrainingConfig(epochs=30, batch_size=128, learning_rate=0.1)
    tasks = {
        "mnist": Task("mnist", train=57_500, training=config),
        "cifar100": Task(str(home / "cifar100"), training=config),
        "imagenet-1k": Task(str(home / "imagenet-1k"), training=config),
    }
    attacks = {
        "badnets": Poisoning(PatchTrigger(style="white")),
        "blended": Poisoning(BlendTrigger()),
        "wanet": Poisoning(WarpTrigger()),
    }
    detectors = {
        "spectral-signatures": SpectralSignatures(),
        "activation-clustering": ActivationClustering(),
        "spectre": Spectre(),
    }
    return grid(tasks, attacks, detectors, rates=RATES, trusted=(2_500,), networks=NETWORKS)
