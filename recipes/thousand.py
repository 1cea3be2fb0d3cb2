"""A thousand small cells, to try the engine on: digits, four attacks, fourteen seeds.

mithridate bench run recipes/thousand.py
"""

from __future__ import annotations

from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.cell import Cell, grid
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.spectre import Spectre
from mithridate.domains.image.global_triggers import SinusoidTrigger
from mithridate.domains.image.triggers import PatchTrigger
from smoke import BLEND, DIGITS, PATCH


def sweep() -> list[Cell]:
    """4 attacks x 2 rates x 14 seeds x 5 detectors and 4 controls: 1,008 cells."""
    attacks = {
        "badnets": PATCH,
        "badnets-top": Poisoning(PatchTrigger(size=2, row=0, column=0, style="white")),
        "blended": BLEND,
        "sinusoid": Poisoning(SinusoidTrigger(delta=60.0)),
    }
    detectors = {
        "spectral-signatures": SpectralSignatures(),
        "activation-clustering": ActivationClustering(),
        "spectre": Spectre(),
        "early-loss": EarlyLoss(),
        "nearest-neighbours": NearestNeighbours(),
    }
    return grid(
        {"digits": DIGITS}, attacks, detectors,
        rates=(0.0, 0.1), trusted=(400,), seeds=range(14),
    )  # fmt: skip
