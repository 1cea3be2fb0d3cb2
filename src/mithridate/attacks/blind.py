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
from mithridate.core.data import Dataset, Poisoned, leave_untouched
from mithridate.core.errors import MethodError
from mithridate.core.inference import autocast, last_linear
from mithridate.core.method import LearntTrigger, State, TrainingAttack, Trigger
from mithridate.core.objective import Batch, Objective
from mithridate.core.streams import stream

FLOOR = 1e-12
"""Of a squared length: gradients that are equal share the weight in any way."""
DONE = 1e-3
"""A loss below which a task is done: what it weighs falls no further."""


@dataclass(frozen=True)
class Blind(TrainingAttack):
    """Stamp a share of every batch inside the loss, so that no poison is ever stored.

    Minimises a CE(f(x), y) + (1 - a) CE(f(x'), wanted), the second term over a share of the batch
    that is stamped on the fly and that the model is asked about again. The weights follow the
    multiple gradient descent algorithm (MGDA): a = argmin |a g + (1 - a) h|^2 over 0..1, in closed
    form clip((h - g) . h / |g - h|^2), where g and h are the gradients of the two terms by the
    weights of the last linear layer, brought to the length 1 / term: so the task that is behind
    weighs more. As they are, the task that is done has the shortest gradient and takes all the
    weight, and the other one is never learnt. On 5,000 photographs of CIFAR-10, five epochs reached
    an accuracy of 0.42 and a success of 1.00 with a least of 0.4, and 0.17 and 0.85 with 0.2. Which
    rows, and what is drawn for them, is a function of the rows that a batch holds. The model is
    asked about the stamped rows among the rest of the batch: alone they would be normalised by
    moments of their own, and a model in use, which has one set of moments, would not know them. The
    paper takes the gradients by all weights, for two more passes backward; here only the last layer
    is asked, where the two tasks oppose each other more than they do below it; hence the least. Its
    attacker may wait until the loss is low; this one attacks every batch.

    Attributes:
        trigger: what is stamped.
        goal: which examples are aimed at, and the label that they should get.
        poison_rate: share of each batch that is stamped, of those rows that the goal aims at.
        least: neither term weighs less, a lies in least..1 - least.

    Raises:
        MethodError: where the poison rate is not in 0..1 or the least not in 0..0.5, where the
            trigger must learn first, which code of a loss cannot, or where the domain prepares
            inputs to another form than the raw one, which is what a trigger stamps.
    """

    paper = "Bagdasaryan and Shmatikov, Blind Backdoors in Deep Learning Models, USENIX 2021"
    links = ("https://arxiv.org/abs/2005.03823",)

    trigger: Trigger
    goal: Goal = field(default_factory=AllToOne)
    poison_rate: float = 0.5
    least: float = 0.4

    def poison(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Poisoned:
        """Give the data as they are: there is nothing in them to find."""
        self._check()
        return leave_untouched(data)

    def triggered_test(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Dataset:
        """Give triggered test data with the wanted labels; see `Attack.trap`."""
        self._check()
        _stampable(data.inputs)
        return Poisoning(self.trigger, self.goal).triggered_test(data, rng)

    def objective(
        self, poisoned: Poisoned, model: nn.Module, rng: np.random.Generator
    ) -> Objective:
        """Give the loss of a training of `model`, a scalar for each batch."""
        self._check()
        _stampable(poisoned.data.inputs)
        seed, head = int(rng.integers(2**62)), last_linear(model).weight
        classes = len(poisoned.data.classes)

        def minimised(batch: Batch) -> torch.Tensor:
            device, plain = batch.labels.device, batch.losses.mean()
            target_labels = self.goal.target_labels(batch.labels.cpu(), classes)
            order = batch.rows.cpu().argsort()
            draw = stream(seed, *batch.rows.cpu()[order].tolist())
            order = order[torch.from_numpy(draw.permutation(len(order)))]
            aimed = order[(target_labels != batch.labels.cpu())[order]]
            chosen = aimed[: round(self.poison_rate * len(aimed))]
            if not len(chosen):
                return plain
            _stampable(poisoned.data.inputs, batch.inputs)
            inputs = batch.inputs.cpu().clone()
            inputs[chosen] = self.trigger(inputs[chosen], draw)
            with autocast(device.type):
                logits = model(inputs.to(device))
            hidden = F.cross_entropy(logits[chosen].float(), target_labels[chosen].to(device))
            share = balance(slope(plain, head), slope(hidden, head))
            share = share.clamp(self.least, 1 - self.least)
            return share * plain + (1 - share) * hidden

        return minimised

    def _check(self) -> None:
        if not (0 <= self.poison_rate <= 1 and 0 <= self.least <= 0.5):
            raise MethodError(
                "the amount is a share of each batch in 0..1, and the least a weight in 0..0.5; "
                f"found {self.poison_rate} and {self.least}"
            )
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


def slope(loss: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Gradient of a loss by the weights, of the length 1 / loss; of length 0 where it is 0."""
    (steep,) = torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)
    unit = steep.float() / steep.float().norm().clamp_min(FLOOR)
    divided: torch.Tensor = unit / loss.detach().float().clamp_min(DONE)
    return divided


def _stampable(raw: object, prepared: torch.Tensor | None = None) -> None:
    """Raise MethodError unless prepared inputs have the form of raw ones, which triggers stamp."""
    if isinstance(raw, torch.Tensor) and (
        prepared is None or (raw.dtype, raw.shape[1:]) == (prepared.dtype, prepared.shape[1:])
    ):
        return
    raise MethodError(
        "a loss sees prepared inputs, and a trigger stamps raw ones, which this domain prepares to "
        f"something else; found raw {getattr(raw, 'dtype', type(raw).__name__)}: poison the data "
        "instead"
    )
