"""Shared adversarial unlearning: forget examples that mislead the old and the new network alike.

Axes: b examples of a batch, c classes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import autocast
from mithridate.core.method import Repair
from mithridate.core.objective import Batch
from mithridate.core.training_run import TrainingRun
from mithridate.core.view import View
from mithridate.repairs.perturbing import Site, site
from mithridate.repairs.trusted import use_all_trusted

NOTHING = -1e4
"""A logit of no chance; infinity would have no gradient where there is one class."""


@dataclass(frozen=True)
class SharedAdversarialUnlearning(Repair):
    """Train on trusted examples so that what misleads the old network no longer misleads the new.

    For each example a perturbation z, |z| <= radius in every value, maximises
      reach * (CE(f(x + z), y) + CE(g(x + z), y)) / 2 - JS(f(x + z), g(x + z)),
    f the model as it was, g the one being repaired, JS the Jensen-Shannon divergence of their
    probabilities: both shall be misled, and alike, as a trigger misleads them. Then g minimises
      CE(g(x), y) + robust * CE(g(x + z), y) + unlearn * S, S = - ln(1 - p_t(g(x + z))) where
    t, the class that f calls x + z, is not y, and 0 elsewhere. Bytes are perturbed as numbers,
    without rounding or clipping. Prepared inputs of other integers cannot be perturbed: there z is
    added to the features of each network. The paper trains 100 epochs with Adam at radius 0.8 and
    unlearn 1; in 5 epochs that cost a small network on CIFAR-10 fifteen points of accuracy, and the
    defaults two. Running moments of batch normalisation are kept.

    Attributes:
        radius: of the perturbation, in standard deviations of the inputs' values, 0.2 of the range
            of bytes in the paper.
        reach: weight of misleading against sharing.
        steps: of the perturbation, up the gradient's sign.
        robust: weight of ordinary adversarial training, 0 in the paper.
        unlearn: weight of what is shared.
        epochs: of the descent.
        learning_rate: of the descent.
        batch_size: of the descent.

    Raises:
        MethodError: where fewer than ten examples are trusted or a setting is negative.
    """

    paper = "Wei et al., Shared Adversarial Unlearning, NeurIPS 2023"
    links = ("https://arxiv.org/abs/2307.10562",)
    known_as = ("sau",)
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "radius": (0.2, 0.4, 0.8),
        "learning_rate": (0.003, 0.01, 0.03),
    }

    radius: float = 0.4
    reach: float = 0.01
    steps: int = 3
    robust: float = 0.0
    unlearn: float = 0.5
    epochs: int = 5
    learning_rate: float = 0.01
    batch_size: int = 64

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Train a copy."""
        if min(self.radius, self.reach, self.steps, self.robust, self.unlearn) < 0:
            raise MethodError(f"radius, steps and weights must not be negative: {self}")
        clean = use_all_trusted(view)
        model = copy.deepcopy(view.model)
        old = copy.deepcopy(view.model).eval().requires_grad_(False).to(view.runtime.device)
        place = site(model, view.domain.prepare(clean.inputs), view.domain, view.runtime)
        config = TrainingConfig(
            self.epochs, self.batch_size, self.learning_rate, augment=False, batch_statistics=False
        )
        objective = SharedObjective(self, old, model, place, config.precision)
        fit(
            model, clean, view.domain, config, rng,
            TrainingRun(view.runtime, objective=objective),
        )  # fmt: skip
        return model


@dataclass(frozen=True)
class SharedObjective:
    """The loss on examples and on what misleads both networks."""

    method: SharedAdversarialUnlearning
    old: nn.Module
    new: nn.Module
    place: Site
    precision: str = "bf16"

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Give the three terms together, float[b]."""
        change = self._climb(batch)
        with torch.no_grad():
            predicted = self._logits(self.old, batch, change).argmax(1)
        logits = self._logits(self.new, batch, change)
        robust = F.cross_entropy(logits, batch.labels, reduction="none")
        shared = shared_loss(logits, predicted, batch.labels)
        return batch.losses + self.method.robust * robust + self.method.unlearn * shared

    def _logits(self, model: nn.Module, batch: Batch, change: torch.Tensor) -> torch.Tensor:
        with autocast(batch.inputs.device.type, self.precision):
            return self.place.logits(model, batch.inputs, change)

    def _climb(self, batch: Batch) -> torch.Tensor:
        """Give a perturbation for each example, float[b, ...]."""
        radius = self.method.radius
        change = torch.empty(
            len(batch.labels), *self.place.shape, device=batch.inputs.device
        ).uniform_(-radius, radius)
        for _ in range(self.method.steps):
            point = change.requires_grad_()
            old, new = (self._logits(m, batch, point) for m in (self.old, self.new))
            gain = shared_misleading(old, new, batch.labels, self.method.reach).sum()
            (slope,) = torch.autograd.grad(gain, point)
            step = 2 * radius / self.method.steps
            change = (point + step * slope.sign()).detach().clamp(-radius, radius)
        return change.detach()


def shared_misleading(
    old: torch.Tensor, new: torch.Tensor, labels: torch.Tensor, reach: float
) -> torch.Tensor:
    """Say how far logits float[b, c] of two networks are wrong, and wrong alike, float[b]."""
    wrong = F.cross_entropy(old, labels, reduction="none")
    wrong = (wrong + F.cross_entropy(new, labels, reduction="none")) / 2
    first, second = old.log_softmax(1), new.log_softmax(1)
    middle = torch.logaddexp(first, second) - np.log(2)
    apart = (first.exp() * (first - middle) + second.exp() * (second - middle)).sum(1) / 2
    gain: torch.Tensor = reach * wrong - apart
    return gain


def shared_loss(
    logits: torch.Tensor, predicted: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Give -ln(1 - p of the class called) where that is not the label, else 0, float[b]."""
    itself = F.one_hot(predicted, logits.shape[1]).bool()
    # by sums of the logits, since where p is rounded to 1 the logarithm has no gradient
    others = logits.masked_fill(itself, NOTHING).logsumexp(1)
    return torch.where(predicted != labels, logits.logsumexp(1) - others, 0.0)
