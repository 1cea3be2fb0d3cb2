"""Ordinary training by fewer operations."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.fast import FastTraining
from mithridate.core.fit import fit
from mithridate.core.method import Trained, Trainer
from mithridate.core.training_run import TrainingRun


@dataclass(frozen=True)
class Fast(Trainer):
    """Train on small inputs first and by orthogonalised momentum, trusting the data.

    Minimises mean_i CE(f(x_i), y_i), with smoothed labels. A network learns what is only to be
    seen in whole inputs, such as a small trigger, in the last epochs alone.

    Attributes:
        training: how it is trained.
    """

    paper = "Jordan et al., Muon: An Optimizer for Hidden Layers in Neural Networks, 2024"
    takes_objective = True

    training: FastTraining = field(default_factory=FastTraining)

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
