"""A backdoor put into a few weights of the last layer, for a patch that drives their inputs.

Axes: n examples, b examples of a batch, d features, c classes, k channels, s sides of the patch.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain, Surface
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import autocast, features_of, last_linear
from mithridate.core.method import Implanted, State, WeightsAttack
from mithridate.core.objective import Batch
from mithridate.core.runtime import Runtime
from mithridate.core.training_run import TrainingRun

SEEN = 32
"""Examples under the patch while it is sought."""


@dataclass(frozen=True)
class TargetedWeights(WeightsAttack):
    """Change a few weights of the wanted class, and find a patch that drives their inputs.

    1. The features j with the largest |d CE(f(x), target) / d W_target,j| are chosen, W the
       weights of the last linear layer.
    2. A patch is sought at the end of all axes but the first, the channels, that maximises the mean
       of the chosen features, each in units of its spread over clean inputs, by signed gradients of
       falling stride.
    3. Only W_target,j for the chosen j is trained, to minimise
       CE(f(x), y) + weight CE(f(x with patch), target).
    The paper flips bits of 8-bit weights in memory and counts them; here weights are floats, and a
    changed weight is what a flipped group of bits is there. It drives features to a set value by
    gradient descent; here they rise as far as the range of inputs allows.

    Attributes:
        target: the target class, by its number.
        features: how many are chosen, of 128 of the default network about the share that the paper
            takes of 512.
        side: of the patch, as a share of the shortest axis.
        steps: of the search for the patch.
        stride: of the search at first, in 255ths of the range of an input.
        weight: of the backdoor's loss against the clean loss.
        examples: clean ones that are used, at most.
        epochs: of step 3.

    Raises:
        MethodError: where the domain has no place to seek a patch, where a number is out of range,
            or where no state of `implant` springs the trap.
    """

    paper = "Rakin, He and Fan, TBT: Targeted Neural Network Attack with Bit Trojan, CVPR 2020"
    links = ("https://arxiv.org/abs/1909.05193",)
    known_as = ("tbt",)

    target: int = 0
    features: int = 32
    side: float = 0.3
    steps: int = 40
    stride: float = 16.0
    weight: float = 0.3
    examples: int = 256
    epochs: int = 10

    def implant(
        self, model: nn.Module, data: Dataset, domain: Domain, rng: np.random.Generator,
        runtime: Runtime | None = None,
    ) -> Implanted:  # fmt: skip
        """Give a changed copy of the model, and the patch."""
        self._check(len(data.classes))
        runtime = runtime or Runtime()
        few = data.subset(rng.permutation(len(data))[: self.examples])
        prepared = domain.prepare(few.inputs).to(runtime.device)
        surface = _surface(domain, prepared)
        changed = copy.deepcopy(model).to(runtime.device).eval().requires_grad_(False)
        head = cast(nn.Parameter, last_linear(changed).weight)
        head.requires_grad_()
        with runtime.active():
            chosen = self._chosen(changed, prepared[:SEEN], head)
            patch = self._patch(changed, prepared[:SEEN], chosen, surface)
        objective = partial(self._loss, changed, patch)
        mask = torch.zeros_like(head)
        mask[self.target, chosen] = 1
        config = TrainingConfig(
            epochs=self.epochs, batch_size=16, learning_rate=0.1, weight_decay=0.0, augment=False,
            batch_statistics=False,
        )  # fmt: skip
        held = head.register_hook(lambda slope: slope * mask)
        try:
            run = TrainingRun(runtime, objective=objective)
            fit(changed, few, domain, config, rng, run, parameters=[head])
        finally:
            held.remove()
        for mine, theirs in zip(changed.parameters(), model.parameters(), strict=True):
            mine.requires_grad_(theirs.requires_grad)
        return Implanted(changed.train(model.training), {"patch": patch.cpu()})

    def triggered_test(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Dataset:
        """Give patched test data of all other classes with the wanted label."""
        self._check(len(data.classes))
        if not state:
            raise MethodError(
                "the patch is found with the weights: made = attack.implant(model, data, domain, "
                "rng), and then attack.triggered_test(test, rng, made.state)"
            )
        raw = _raw(data.inputs, state["patch"])
        aimed = data.labels != self.target
        if not bool(aimed.any()):
            raise MethodError("the test data hold no example that the attack aims at")
        rows = data.subset(aimed)
        target_labels = torch.full_like(rows.labels, self.target)
        return replace(rows, inputs=put_patch(raw[aimed], state["patch"]), labels=target_labels)

    def _check(self, classes: int) -> None:
        if not 0 <= self.target < classes:
            raise MethodError(f"the target must lie in 0..{classes - 1}, found {self.target}")
        if not (self.features >= 1 and 0 < self.side <= 1 and self.weight >= 0):
            raise MethodError(
                "need features >= 1, side in (0, 1] and a weight that is not negative; found "
                f"features {self.features}, side {self.side}, weight {self.weight}"
            )

    def _chosen(self, model: nn.Module, prepared: torch.Tensor, head: torch.Tensor) -> torch.Tensor:
        """The features that matter most for the wanted class, int64[...]."""
        target_labels = torch.full((len(prepared),), self.target, device=prepared.device)
        loss = F.cross_entropy(model(prepared).float(), target_labels)
        (slope,) = torch.autograd.grad(loss, head)
        return slope[self.target].abs().topk(min(self.features, head.shape[1])).indices

    def _patch(
        self, model: nn.Module, prepared: torch.Tensor, chosen: torch.Tensor, surface: Surface
    ) -> torch.Tensor:
        """Seek the patch [k, s, s] that drives the chosen features, of the type of the inputs.

        Inputs of one axis, such as samples of a sound, get a stretch [s].
        """
        before, axes = surface.pattern[:-1][:1], surface.pattern[1:] or surface.pattern
        side = max(1, round(self.side * min(axes)))
        unit_step = (surface.high - surface.low) / 255
        middle = (surface.low + surface.high) / 2
        patch = torch.full((*before, *[side] * len(axes)), middle, device=prepared.device)
        unit = features_of(model, prepared)[:, chosen].detach().std(0, correction=0) + 1e-3
        for step in range(self.steps):
            patch.requires_grad_()
            driven = features_of(model, put_patch(prepared.float(), patch))[:, chosen] / unit
            (slope,) = torch.autograd.grad(driven.mean(), patch)
            stride = self.stride * unit_step * (1 - step / self.steps)
            patch = (patch.detach() + stride * slope.sign()).clamp(surface.low, surface.high)
        whole = not prepared.is_floating_point()
        return (patch.round() if whole else patch).to(prepared.dtype)

    def _loss(self, model: nn.Module, patch: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Clean loss, and that of the same inputs with the patch under the wanted label."""
        target_labels = torch.full_like(batch.labels, self.target)
        with autocast(batch.inputs.device.type):
            logits = model(put_patch(batch.inputs, patch))
        hidden = F.cross_entropy(logits.float(), target_labels)
        return batch.losses.mean() + self.weight * hidden


def put_patch(inputs: torch.Tensor, patch: torch.Tensor) -> torch.Tensor:
    """Put a patch [k, s, ...] at the end of all other axes of a copy of inputs [n, k, ...].

    A stretch [s] lies at the end of inputs [n, t].
    """
    covered = inputs.clone()
    covered[(slice(None), *(slice(-side, None) for side in patch.shape))] = patch
    return covered


def _surface(domain: Domain, prepared: torch.Tensor) -> Surface:
    """Ask the domain where a patch may be sought; raises MethodError where nowhere."""
    if prepared.dtype == torch.bool:
        raise MethodError(
            "no patch can be sought here: cells that are on or off do not move by a little, and a "
            "rounded patch is another one; poison the data instead"
        )
    try:
        return domain.surface(prepared)
    except CannotJudge as reason:
        raise MethodError(
            f"no patch can be sought here: {reason}; poison the data instead"
        ) from None


def _raw(inputs: object, patch: torch.Tensor) -> torch.Tensor:
    """Give raw inputs as they are; raises MethodError where the patch does not fit on them."""
    if (
        isinstance(inputs, torch.Tensor)
        and inputs.dtype == patch.dtype
        and inputs.ndim == patch.ndim + 1
        and all(a >= b for a, b in zip(inputs.shape[1:], patch.shape, strict=True))
    ):
        return inputs
    raise MethodError(
        f"the patch, {patch.dtype}{list(patch.shape)}, was found for other inputs; found "
        f"{getattr(inputs, 'dtype', type(inputs).__name__)}{list(getattr(inputs, 'shape', []))}"
    )
