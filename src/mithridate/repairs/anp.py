"""Adversarial neuron pruning: channels that a small perturbation turns against the network.

Axes: b examples of a batch, k channels of a layer, c classes.
"""

from __future__ import annotations

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
from mithridate.repairs.channels import Masked, prune_deepest
from mithridate.repairs.trusted import hold_out


@dataclass(frozen=True)
class AdversarialNeuronPruning(Repair):
    """Cut the channels that masks give up when weights are perturbed against trusted examples.

    Masks m in [0, 1]^k on the weights of channels minimise, with all weights frozen,
      alpha L(m w, b) + (1 - alpha) max over |d|, |e| <= budget of L((m + d) w, (1 + e) b),
    L the mean cross-entropy on trusted examples; the maximum is taken by one signed step from a
    random point. Channels with masks less than `below` are then cut from the smallest on, those
    passed over whose cut takes the accuracy on held-out trusted examples, half of all, more than a
    tolerance below that of the uncut model. The paper trains 2,000 steps of 128 examples, which
    costs 40 times as much. The channels are those of batch normalisations, and of convolutions and
    linear layers that none follows. The paper tunes the threshold by looking at the results on
    triggered test data, which no defender has, and cuts all channels below it. On small networks
    that differ by the seed alone the defaults left 0.1 to 0.9 of a backdoor; more epochs and a
    larger `below` left less.

    Attributes:
        alpha: weight of the loss without perturbation.
        budget: the largest relative perturbation.
        below: masks of channels that may be cut.
        tolerance: accuracy that may be lost on the held-out examples, as a share of them.
        epochs: of the training of the masks.
        learning_rate: of the training of the masks.
        batch_size: of the training of the masks.

    Raises:
        MethodError: where fewer than ten examples are trusted, the model has no such channels or
            alpha lies outside of [0, 1].
    """

    paper = "Wu and Wang, Adversarial Neuron Pruning Purifies Backdoored Deep Models, NeurIPS 2021"
    links = ("https://arxiv.org/abs/2110.14430",)
    known_as = ("anp",)
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "budget": (0.2, 0.4, 0.6),
        "tolerance": (0.01, 0.03, 0.05),
    }

    alpha: float = 0.2
    budget: float = 0.4
    below: float = 0.2
    tolerance: float = 0.03
    epochs: int = 12
    learning_rate: float = 0.2
    batch_size: int = 64

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Train the masks, then cut."""
        if not 0 <= self.alpha <= 1:
            raise MethodError(f"alpha must lie in [0, 1], found {self.alpha}")
        learn, held = hold_out(view, rng, 0.5)
        masked = Masked(view.model)
        config = TrainingConfig(
            self.epochs,
            self.batch_size,
            self.learning_rate,
            warmup=0,
            weight_decay=0,
            augment=False,
        )
        objective = Robust(masked, self.alpha, self.budget, config.precision)
        fit(
            masked, learn, view.domain, config, rng,
            TrainingRun(view.runtime, objective=objective), parameters=list(masked.masks),
        )  # fmt: skip
        return prune_deepest(view, held, masked.values(), self.below, self.tolerance)


@dataclass(frozen=True)
class Robust:
    """The loss of masks, alone and under the worst small perturbation of weights and biases."""

    masked: Masked
    alpha: float
    budget: float
    precision: str = "bf16"

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Give the mixed loss, float[b]."""
        shape = list(self.masked.masks) * 2
        start = [torch.empty_like(m).uniform_(-self.budget, self.budget) for m in shape]
        worst = self.climb(batch, start)
        return self.alpha * batch.losses + (1 - self.alpha) * self.losses(batch, worst)

    def losses(self, batch: Batch, noise: list[torch.Tensor]) -> torch.Tensor:
        """Give the cross-entropy under a perturbation of weights, then of biases, float[b]."""
        half = len(noise) // 2
        with autocast(batch.inputs.device.type, self.precision):
            logits = self.masked(batch.inputs, noise[:half], noise[half:])
        return F.cross_entropy(logits.float(), batch.labels, reduction="none")

    def climb(self, batch: Batch, start: list[torch.Tensor]) -> list[torch.Tensor]:
        """Take one step, of the budget's size, up the signs of the slopes, and stay within it."""
        noise = [part.detach().requires_grad_() for part in start]
        slopes = torch.autograd.grad(self.losses(batch, noise).mean(), noise, allow_unused=True)
        return [
            part.detach() if slope is None
            else (part + self.budget * slope.sign()).detach().clamp(-self.budget, self.budget)
            for part, slope in zip(noise, slopes, strict=True)
        ]  # fmt: skip
