"""Blind backdoors: an attacker who changes the code of the loss and nothing else.

Axes: n examples, b examples of a batch, s stamped ones, d features, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.attacks.goals import AllToOne, Goal
from mithridate.attacks.poisoning import Poisoning
from mithridate.core.data import Dataset, Poisoned, untouched
from mithridate.core.errors import MethodError
from mithridate.core.method import LearntTrigger, State, TrainingAttack, Trigger
from mithridate.core.objective import Batch, Objective
from mithridate.core.streams import stream
from mithridate.core.view import autocast, last_linear

FLOOR = 1e-12
"""Of the squared distance of two gradients: equal ones share the weight in any way."""


@dataclass(frozen=True)
class Blind(TrainingAttack):
    """Stamp a share of every batch inside the loss, so that no poison is ever stored.

    Minimises a CE(f(x), y) + (1 - a) CE(f(x'), wanted), the second term over a share of the batch
    that is stamped on the fly and that the model is asked about again. The weights follow the
    multiple gradient descent algorithm (MGDA): a = argmin |a g + (1 - a) h|^2 over 0..1, in closed
    form clip((h - g) . h / |g - h|^2), where g and h are the gradients of the two terms by the
    weights of the last linear layer, each divided by its term, so that neither task waits for the
    other because its loss is large.
    trigger: what is stamped; goal: what it should be called; amount: share of each batch that is
    stamped, of those rows that the goal aims at.
    Which rows, and what is drawn for them, is a function of the rows that a batch holds. The model
    is asked about the stamped rows among the rest of the batch: alone they would be normalised by
    moments of their own, and a model in use, which has one set of moments, would not know them.
    The paper takes the gradients by all weights, for two more passes backward, and leaves the
    attack out once the loss is low; here only the last layer is asked, and every batch is
    attacked.
    Raises MethodError where the amount is not in 0..1, where the trigger must learn first, which
    code of a loss cannot, or where the inputs are not bytes: only those reach the network raw, so
    that a trigger can be stamped on a batch.
    """

    paper = "Bagdasaryan and Shmatikov, Blind Backdoors in Deep Learning Models, USENIX 2021"

    trigger: Trigger
    goal: Goal = field(default_factory=AllToOne)
    amount: float = 0.5

    def poison(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Poisoned:
        """Give the data as they are: there is nothing in them to find."""
        self._check()
        return untouched(data)

    def trap(self, data: Dataset, rng: np.random.Generator, state: State | None = None) -> Dataset:
        """Give triggered test data with the wanted labels; see `Attack.trap`."""
        self._check()
        _bytes(data.inputs)
        return Poisoning(self.trigger, self.goal).trap(data, rng)

    def objective(
        self, poisoned: Poisoned, model: nn.Module, rng: np.random.Generator
    ) -> Objective:
        """Give the loss of a training of `model`, a scalar for each batch."""
        self._check()
        _bytes(poisoned.data.inputs)
        seed, head = int(rng.integers(2**62)), last_linear(model).weight
        classes = len(poisoned.data.classes)

        def minimised(batch: Batch) -> torch.Tensor:
            device, plain = batch.labels.device, batch.losses.mean()
            wanted = self.goal.wanted(batch.labels.cpu(), classes)
            order = batch.rows.cpu().argsort()
            draw = stream(seed, *batch.rows.cpu()[order].tolist())
            order = order[torch.from_numpy(draw.permutation(len(order)))]
            aimed = order[(wanted != batch.labels.cpu())[order]]
            chosen = aimed[: round(self.amount * len(aimed))]
            if not len(chosen):
                return plain
            inputs = batch.inputs.cpu().clone()
            inputs[chosen] = self.trigger(inputs[chosen], draw)
            with autocast(device.type):
                logits = model(inputs.to(device))
            hidden = F.cross_entropy(logits[chosen].float(), wanted[chosen].to(device))
            share = balance(_slope(plain, head), _slope(hidden, head))
            return share * plain + (1 - share) * hidden

        return minimised

    def _check(self) -> None:
        if not 0 <= self.amount <= 1:
            raise MethodError(f"the amount is a share of each batch in 0..1, found {self.amount}")
        if isinstance(self.trigger, LearntTrigger):
            raise MethodError(
                f"the code of a loss can stamp nothing that must be learnt first, found "
                f"{self.trigger.name()}; choose a trigger that needs no learning"
            )


def balance(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Weigh two gradients so that their sum is shortest: the share of the first, float[] in 0..1.

    Frank and Wolfe's line search, which for two tasks is the solution.
    Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018.
    """
    apart = (first - second).square().sum()
    share = ((second - first) * second).sum() / apart.clamp_min(FLOOR)
    return torch.where(apart > FLOOR, share, torch.full_like(share, 0.5)).clamp(0, 1)


def _slope(loss: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Gradient of the logarithm of a loss by the weights; 0 where it does not depend on them."""
    (slope,) = torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)
    return slope.float() / loss.detach().float().clamp_min(1e-6)


def _bytes(inputs: object) -> None:
    if not isinstance(inputs, torch.Tensor) or inputs.dtype != torch.uint8:
        raise MethodError(
            "a loss sees prepared inputs, and only bytes are prepared as they are; expected "
            f"inputs uint8[n, ...], found {getattr(inputs, 'dtype', type(inputs).__name__)}: "
            "poison data of this domain instead"
        )
