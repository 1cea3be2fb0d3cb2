"""Implicit backdoor adversarial unlearning: forget what one perturbation of all inputs can do.

Axes: b examples of a batch, c classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Repair
from mithridate.core.objective import Batch
from mithridate.core.training_run import TrainingRun
from mithridate.core.view import View
from mithridate.repairs.perturbing import Site, site
from mithridate.repairs.trusted import use_all_trusted

SHRINKING = 1e-3
"""Weight of |z|^2 in the inner loss, as in the paper's code: it makes the fixed point one."""

INNER_RATE = 0.1
"""Step of the map whose fixed point is differentiated, as in the paper's code."""

NEAR = 0.01
"""Length of the differences for second derivatives, as a share of 1 plus that of z."""

Loss = Callable[[torch.Tensor], torch.Tensor]
"""The loss under a perturbation; differentiable by it and by the network's parameters."""


@dataclass(frozen=True)
class IBAU(Repair):
    """Train on trusted examples against the worst perturbation that all of them share.

    min over weights w of L(w) + share * L(w, z*), where z* maximises L(w, z) - |z|^2 / 1000 within
    |z| <= radius * sqrt(d), L(w, z) the mean cross-entropy with z added to every input, and z is in
    standard deviations of the d values of inputs. As w moves z* moves too: the gradient adds
    (dz*/dw)^T g, g = dL/dz, with the inverse Hessian in it replaced by the fixed-point sum of v <-
    g + J^T v, J the Jacobian of one inner gradient step. Bytes are perturbed as numbers, without
    rounding or clipping. Prepared inputs of other integers cannot be perturbed: there z is added to
    the features, and the layers below learn only to keep them apart. The paper finds z anew in each
    of 5 rounds; here it is carried from batch to batch, and the Jacobian is taken by differences of
    gradients, see `implicit`. At the paper's radius and share 1 a small network on CIFAR-10 lost 13
    points of accuracy, at the defaults 1. Running moments of batch normalisation are kept.

    Attributes:
        radius: root mean square of the perturbation, 10 / sqrt(3072) in the paper.
        climbs: steps up for each batch, of half the bound.
        terms: of the sum, 0 drops dz*/dw and leaves universal adversarial training.
        share: weight of the perturbed loss.
        epochs: of the outer descent.
        learning_rate: of the outer descent.
        batch_size: of the outer descent.

    Raises:
        MethodError: where fewer than ten examples are trusted or a setting is negative.
    """

    paper = "Zeng et al., Adversarial Unlearning of Backdoors via Implicit Hypergradient, ICLR 2022"
    links = ("https://arxiv.org/abs/2110.03735",)
    spelled = "i-bau"
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {
        "radius": (0.1, 0.18, 0.3),
        "learning_rate": (0.003, 0.01, 0.03),
    }

    radius: float = 0.1
    climbs: int = 2
    terms: int = 2
    share: float = 0.1
    epochs: int = 4
    learning_rate: float = 0.01
    batch_size: int = 64

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Train a copy."""
        if min(self.radius, self.climbs, self.terms, self.share) < 0:
            raise MethodError(f"radius, climbs, terms and share must not be negative: {self}")
        clean = use_all_trusted(view)
        model = copy.deepcopy(view.model)
        place = site(model, view.domain.prepare(clean.inputs), view.domain, view.runtime)
        config = TrainingConfig(
            self.epochs, self.batch_size, self.learning_rate, augment=False, batch_statistics=False,
            precision="fp32",  # differences of gradients drown in the rounding of bf16
        )  # fmt: skip
        fit(
            model, clean, view.domain, config, rng,
            TrainingRun(view.runtime, objective=Universal(self, model, place)),
        )  # fmt: skip
        return model


class Universal:
    """The loss against one perturbation, which climbs with each batch and is kept for the next."""

    def __init__(self, method: IBAU, model: nn.Module, place: Site) -> None:
        self.method, self.model, self.place = method, model, place
        self.bound = method.radius * place.shape.numel() ** 0.5
        self.change = torch.zeros(1, *place.shape)

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Give a scalar whose gradient is the hypergradient."""

        def outer(change: torch.Tensor) -> torch.Tensor:
            logits = self.place.logits(self.model, batch.inputs, change)
            return F.cross_entropy(logits, batch.labels)

        def inner(change: torch.Tensor) -> torch.Tensor:
            return SHRINKING * change.square().sum() - outer(change)

        change = self.change.to(batch.inputs.device)
        if not change.any():
            change = self.within(torch.randn_like(change) * self.bound)
        for _ in range(self.method.climbs):
            change = self.within(climb(inner, change, self.bound / 2))
        self.change = change
        unlearnt = implicit(inner, outer, change, INNER_RATE, self.method.terms)
        return batch.losses.mean() + self.method.share * unlearnt

    def within(self, change: torch.Tensor) -> torch.Tensor:
        """Scale a perturbation back to the bound where it is longer."""
        share: torch.Tensor = (self.bound / change.norm().clamp_min(1e-12)).clamp_max(1)
        return change * share


def climb(inner: Loss, change: torch.Tensor, length: float) -> torch.Tensor:
    """Take one step of a given length against the gradient of the inner loss."""
    point = change.detach().requires_grad_()
    (slope,) = torch.autograd.grad(inner(point), point)
    step: torch.Tensor = length * slope / slope.norm().clamp_min(1e-12)
    return (point - step).detach()


def implicit(
    inner: Loss, outer: Loss, change: torch.Tensor, rate: float, terms: int
) -> torch.Tensor:
    """Give a scalar whose gradient by the parameters counts that `change` follows them.

    Second derivatives are central differences of first ones, exact where the inner loss is
    quadratic: a gradient of a gradient takes five times as long.

    Args:
        change: where the inner loss is smallest.
        rate: of its gradient step z -> z - rate * dinner/dz, whose fixed point that is.
        terms: of the sum for the inverse.
    """
    point = change.detach().requires_grad_()
    value = outer(point)
    if not terms:
        return value
    (toward,) = torch.autograd.grad(value, point, retain_graph=True)

    def ends(direction: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        apart = NEAR * (1 + float(change.norm())) / max(float(direction.norm()), 1e-12)
        ahead, behind = point.detach() + apart * direction, point.detach() - apart * direction
        return ahead.requires_grad_(), behind.requires_grad_(), 2 * apart

    total = toward
    for _ in range(terms - 1):
        ahead, behind, apart = ends(total)
        (up,) = torch.autograd.grad(inner(ahead), ahead)
        (down,) = torch.autograd.grad(inner(behind), behind)
        total = toward + total - rate * (up - down) / apart
    ahead, behind, apart = ends(total)
    return value - rate * (inner(ahead) - inner(behind)) / apart
