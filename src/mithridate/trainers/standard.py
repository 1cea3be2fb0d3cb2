"""Ordinary training by minimising the cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Trained, Trainer
from mithridate.core.training_run import TrainingRun


@dataclass(frozen=True)
class Standard(Trainer):
    """Train as everybody does, trusting the data.

    Minimises mean_i CE(f(x_i), y_i) by the recipe given.

    Attributes:
        training: how it is trained.
    """

    takes_objective = True

    training: TrainingConfig = field(default_factory=TrainingConfig)

    def train(
        self,
        model: nn.Module,
        data: Dataset,
        domain: Domain,
        rng: np.random.Generator,
        run: TrainingRun | None = None,
    ) -> Trained:
        """Train `model` in place on `data`; see `Trainer.train`."""
        return fit(model, data, domain, self.training, rng, self.checked(run))
