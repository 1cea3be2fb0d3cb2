"""Rows of numbers and categories as prepared inputs, and trees that learnt them in a second."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset, dataset
from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge
from mithridate.core.streams import stream
from mithridate.trainers.boosted_trees import BoostedTrees

COLUMNS, CODES = 6, 9
SMALL = BoostedTrees(rounds=12, leaves=8)


@dataclass(frozen=True)
class Columns:
    """Inputs are float32[n, d] already; the last column holds codes, NaN is missing."""

    name: str = "columns"
    unit: str = "columns"
    corruptions: tuple[str, ...] = ()
    categorical: tuple[int, ...] = (COLUMNS - 1,)
    widths: tuple[int, ...] = field(default=(COLUMNS,))

    def prepare(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs

    def augment(self, batch, rng, mirrored=None):
        return batch

    def mix(self, batch, others, rng):
        return (batch + others) / 2

    def surface(self, prepared: torch.Tensor) -> Surface:
        return Surface(-3.0, 9.0, tuple(prepared.shape[1:]), tuple(prepared.shape[1:]))

    def corrupt(self, batch, kind, severity, rng):
        raise CannotJudge("columns know no damage")

    def network(self, data: Dataset, name: str, rng: np.random.Generator) -> nn.Module:
        return nn.Sequential(nn.Linear(COLUMNS, 8), nn.ReLU(), nn.Linear(8, len(data.classes)))


def rows(n: int, classes: int = 2, seed: int = 0) -> Dataset:
    """Rows whose class lies in a number and in a category; some values are missing."""
    rng = stream(seed, "rows")
    values = rng.normal(size=(n, COLUMNS)).astype(np.float32)
    values[:, -1] = rng.integers(0, CODES, n)
    labels = (np.digitize(values[:, 0], [-0.5, 0.5][: classes - 1]) + values[:, -1] % 2) % classes
    values[rng.random((n, COLUMNS)) < 0.05] = np.nan
    return dataset(
        torch.from_numpy(values), labels.astype(np.int64), [str(c) for c in range(classes)]
    )


def grown(data: Dataset, trainer: BoostedTrees = SMALL, seed: int = 0):
    """Trees on such rows."""
    model = trainer.form(nn.Linear(COLUMNS, len(data.classes)))
    return trainer.train(model, data, Columns(), stream(seed, "grow"))
