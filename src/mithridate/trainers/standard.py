"""Ordinary training by minimising the cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.fit import Progress, TrainingConfig, fit
from mithridate.core.method import Trained, Trainer
from mithridate.core.objective import Objective
from mithridate.core.runtime import Runtime


@dataclass(frozen=True)
class Standard(Trainer):
    """Train as everybody does, trusting the data.

    Minimises mean_i CE(f(x_i), y_i) by the recipe given.
    """

    training: TrainingConfig = field(default_factory=TrainingConfig)

    def train(
        self,
        model: nn.Module,
        data: Dataset,
        domain: Domain,
        rng: np.random.Generator,
        runtime: Runtime | None = None,
        *,
        objective: Objective | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> Trained:
        """Train `model` in place on `data`; see `fit`. An objective is, e.g., an attacker's."""
        return fit(
            model, data, domain, self.training, rng, runtime=runtime,
            objective=objective, progress=progress, checkpoint=checkpoint,
        )  # fmt: skip
