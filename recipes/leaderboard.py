"""The published CIFAR-10 grid, as far as its attacks and defences are here.

    mithridate bench plan recipes/leaderboard.py   # says what it costs before anything runs

PreAct-ResNet-18 on all of CIFAR-10 at the published rates: days on two cores, hours on a GPU.
Trusted examples are 5 % of the data, which the published benchmark grants where a defence asks.
"""

from __future__ import annotations

from cifar10_table import ATTACKS, DETECTORS
from mithridate.bench.cell import Cell, Task, grid
from mithridate.core.fit import TrainingConfig

TASK = Task(
    "cifar10", train=47_500, training=TrainingConfig(epochs=100, batch_size=128, learning_rate=0.1)
)


def sweep() -> list[Cell]:
    """Every published rate, and the clean twin that was not published."""
    return grid(
        {"cifar10": TASK}, ATTACKS, DETECTORS,
        rates=(0.0, 0.001, 0.005, 0.01, 0.05, 0.1), trusted=(2_500,), networks=("preact-resnet18",),
    )  # fmt: skip
