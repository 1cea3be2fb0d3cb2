"""A sweep of planted defences over a thousand digits."""

from bench.planted_defences import Destroying, Dial
from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.cell import Rules, Task, grid
from mithridate.core.fit import TrainingConfig
from mithridate.detectors.controls import Constant
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.finding import Rule

RATE, WEAK = 0.1, 0.002
TASK = Task("digits", 700, None, TrainingConfig(epochs=4, batch_size=64))
PATCH = Poisoning(PatchTrigger(size=2, row=-2, column=-2, style="white"))
PROBE = Poisoning(PatchTrigger(size=2, row=0, column=0, style="white"))
TRUSTED = 300
NETWORK = "resnet9:8"
"""Half as wide as the default, and as quick again."""


def cells():
    defences = {
        "constant": Constant(), "destroying": Destroying(), "dial": Dial(),
        "corners": Dial("corners"),
    }  # fmt: skip
    rules = Rules(Rule(0.05, 0.2, 0.01, 199), budget=5, probe=PROBE, planted=0.3)
    found = grid(
        {"digits": TASK}, {"badnets": PATCH}, defences, rates=(0.0, RATE, WEAK),
        trusted=(TRUSTED,), seeds=(0,), networks=(NETWORK,), rules=rules,
        tunings=("default", "granted", "oracle"),
    )  # fmt: skip
    return [cell for cell in found if target_labels(cell)]


def target_labels(cell):
    """Tuning is of interest for one detector where the attack takes."""
    return cell.tuning == "default" or (cell.poison_rate == RATE and cell.names[2] == "dial")
