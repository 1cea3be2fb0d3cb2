"""The many ways in which people train a network, drawn at random for clean references.

A suspect from elsewhere is one more draw where references differ as networks do: by optimiser,
rate, decay, schedule, batch, length, augmentation, smoothed labels, mixing, start and examples.
Axes: n examples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.fit import TrainingConfig, Wrap, fit
from mithridate.core.optimisers import Adam, AdamW
from mithridate.core.training_run import TrainingRun
from mithridate.trainers.cutmix import CutMix

Optimiser = Literal["sgd", "adam", "adamw"]

BATCHES = (32, 64, 128)
LENGTHS = (0.25, 1.6)
"""Factors of the number of epochs, from short trainings to long ones."""


@dataclass(frozen=True)
class Way:
    """How one network is trained.

    Attributes:
        training: Its rate, length and the rest of the loop.
        optimiser: Who takes the steps.
        mixed: Share of the examples that carry a box of another one, 0 for none.
        share: Of the examples that are learnt, in (0, 1].
        start: Factor of the weights that it begins with.

    """

    training: TrainingConfig
    optimiser: Optimiser = "sgd"
    mixed: float = 0.0
    share: float = 1.0
    start: float = 1.0

    @classmethod
    def drawn(cls, usual: TrainingConfig, rng: np.random.Generator) -> Way:
        """Draw a way around a usual training.

        Args:
            usual: Gives the number of epochs, around which they are drawn.
            rng: Of this network alone.
        """
        optimiser: Optimiser = rng.choice(["sgd", "sgd", "adam", "adamw"])
        momentum = float(rng.choice([0.0, 0.9, 0.9])) if optimiser == "sgd" else 0.0
        batch = int(rng.choice(BATCHES))
        training = TrainingConfig(
            epochs=max(3, round(usual.epochs * _between(rng, *LENGTHS))),
            batch_size=batch,
            learning_rate=_rate(optimiser, momentum, rng),
            momentum=momentum,
            weight_decay=_decay(optimiser, rng),
            label_smoothing=float(rng.choice([0.0, 0.0, 0.05, 0.1, 0.15])),
            augment=bool(rng.random() < 0.5),
            precision=usual.precision,
        )
        if rng.random() < 0.5:
            training = replace(training, schedule="flat")
        mixed = 0.5 if rng.random() < 0.15 else 0.0
        share = float(rng.uniform(0.5, 1.0)) if rng.random() < 0.4 else 1.0
        return cls(training, optimiser, mixed, share, _between(rng, 0.6, 1.5))

    def train(
        self, model: nn.Module, data: Dataset, domain: Domain, rng: np.random.Generator,
        run: TrainingRun,
    ) -> nn.Module:  # fmt: skip
        """Train a fresh network in place; gives it back in evaluation mode.

        Args:
            model: Has its first weights.
            data: What may be learnt; a share of it is.
            domain: Of the examples.
            rng: Decides every bit.
            run: Where.

        """
        learnt = data
        if self.share < 1:
            learnt = data.subset(np.sort(rng.permutation(len(data))[: self._count(len(data))]))
        _begin(model, self.start)
        if self.mixed:
            training = replace(self.training, label_smoothing=0.0)
            mixing = CutMix(self.mixed, training=training)
            return mixing.train(model, learnt, domain, rng, run).model
        wrap = _wrapping(self.optimiser, self.training)
        return fit(model, learnt, domain, self.training, rng, run, wrap=wrap).model

    def _count(self, n: int) -> int:
        """How many of n examples are learnt."""
        return max(2, round(self.share * n))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a factor evenly in its logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _rate(optimiser: Optimiser, momentum: float, rng: np.random.Generator) -> float:
    """Draw a learning rate of the size that an optimiser is used with."""
    if optimiser != "sgd":
        return _between(rng, 5e-4, 1e-2)
    return _between(rng, 0.01, 0.2) if momentum else _between(rng, 0.05, 0.5)


def _decay(optimiser: Optimiser, rng: np.random.Generator) -> float:
    """Draw a weight decay: none, for a third of the networks, or a usual one."""
    if rng.random() < 1 / 3:
        return 0.0
    return _between(rng, 1e-3, 0.1) if optimiser == "adamw" else _between(rng, 1e-5, 2e-3)


def _begin(model: nn.Module, factor: float) -> None:
    """Scale the first weights of layers that multiply, biases and normalisation stay."""
    with torch.no_grad():
        for weight in (p for p in model.parameters() if p.ndim > 1):
            weight.mul_(factor)


def _wrapping(optimiser: Optimiser, training: TrainingConfig) -> Wrap | None:
    """Give what puts another optimiser in the place of the loop's; None for its own."""
    if optimiser == "sgd":
        return None
    kind = Adam if optimiser == "adam" else AdamW

    def wrap(own: torch.optim.SGD) -> torch.optim.Optimizer:
        parameters: Iterable[nn.Parameter] = [p for g in own.param_groups for p in g["params"]]
        return kind(parameters, training.learning_rate, weight_decay=training.weight_decay)

    return wrap
