"""Training on variations so strong that a small trigger seldom arrives whole."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Trained, Trainer
from mithridate.core.training_run import TrainingRun


@dataclass(frozen=True)
class StrongAugmentation(Trainer):
    """Train on variations that move, relight and hide parts of every input.

    Minimises mean_i CE(f(s(a(x_i))), y_i), a the usual augmentation of the domain and s its strong
    variation, `Domain.distort`: for photographs a random shift, turn, shear or change of light and
    a hidden square, for sentences a hidden stretch of words. The paper mixes inputs, see `CutMix`;
    this varies each alone, by changes and strengths of RandAugment and Cutout instead of a policy
    that was searched for.

    Attributes:
        training: of the training; without `augment` only s is left.
    """

    paper = (
        "Borgnia et al., Strong Data Augmentation Sanitizes Poisoning and Backdoor Attacks "
        "Without an Accuracy Tradeoff, ICASSP 2021"
    )
    links = ("https://arxiv.org/abs/2011.09527",)

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
        """Train `model` in place; the losses are those of the strong variations."""

        def vary(batch: torch.Tensor, _: torch.Tensor, noise: torch.Generator) -> torch.Tensor:
            usual = domain.augment(batch, noise) if self.training.augment else batch
            return domain.distort(usual, noise)

        return fit(model, data, domain, self.training, rng, self.checked(run), vary=vary)
