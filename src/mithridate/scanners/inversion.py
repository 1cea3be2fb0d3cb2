"""The smallest trigger that leads inputs to a class, sought for many classes at once.

An *arm* is one such search: the class that is aimed at and the examples to be led there. All arms
that still move share one forward and one backward pass.
Axes: n trusted examples, a arms, b examples of a step, c classes.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.inference import autocast
from mithridate.core.runtime import Runtime
from mithridate.core.streams import torch_generator
from mithridate.core.view import View
from mithridate.scanners.gradients import FEW, check_gradients

CACHED = 600_000
"""Values of the inputs of one pass on a processor: more leave its cache, fewer cost overhead.

Of a small residual network on 32x32 inputs, passes of 160 were 1.1 times as fast as of 320 and 1.5
to 2 times as fast as of 32.
"""
MOMENTS = (0.5, 0.9)
"""Of Adam, as in the code of Neural Cleanse: short memories suit a loss whose weights change."""
FEWEST = 2
"""Examples without which an arm is not tried."""
PROVED = 0.01
"""A mask counts as smaller where it is so by this share."""


@dataclass(frozen=True)
class Descent:
    """How arms are searched.

    Attributes:
        batch: examples of an arm in a step, with replacement.
        learning_rate: of Adam on the logits of mask and pattern.
        check: steps between looks at the success.
        success: share led to the class that counts as found.
        weight: of the mask's sum once an arm has succeeded.
        rise: factors of the weight after a check that succeeded or failed.
        fall: factors of the weight after a check that succeeded or failed.
    """

    batch: int = 16
    learning_rate: float = 0.2
    check: int = 5
    success: float = 0.95
    weight: float = 1e-2
    rise: float = 2.0
    fall: float = 2.0**1.5

    def __post_init__(self) -> None:
        """Refuse what cannot be searched with."""
        if min(self.batch, self.check) < 1 or not 0 < self.success <= 1:
            raise MethodError(f"batch and check start at 1, success lies in (0, 1]; found {self}")


@dataclass(frozen=True, eq=False)
class World:
    """What is searched: a model on the device, prepared inputs[n, ...] there, and their surface."""

    model: nn.Module
    inputs: torch.Tensor
    labels: torch.Tensor
    surface: Surface
    runtime: Runtime
    precision: str

    def ask(self, inputs: torch.Tensor) -> torch.Tensor:
        """Give the logits of inputs[m, ...] as floats, float32[m, c], differentiable."""
        if inputs.ndim == 4:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with autocast(self.runtime.device, self.precision):
            return cast(torch.Tensor, self.model(inputs)).float()

    @property
    def at_once(self) -> int:
        """Inputs of one pass."""
        if torch.device(self.runtime.device).type != "cpu":
            return self.runtime.batch_size
        return max(1, min(self.runtime.batch_size, CACHED // self.inputs[0].numel()))


@contextlib.contextmanager
def open_world(view: View) -> Iterator[World]:
    """Give the model and the trusted examples of a view; the model's mode is restored after it.

    Raises:
        CannotJudge: where inputs cannot move by a little or the model has no gradient.
    """
    model, clean, runtime = view.model, view.clean, view.runtime
    inputs = view.domain.prepare(clean.inputs)
    surface = view.domain.surface(inputs)
    inputs, was_training = inputs.to(runtime.device), model.training
    model.eval().to(runtime.device)
    try:
        check_gradients(model, inputs, surface)
        labels = clean.labels.to(runtime.device)
        lean = (
            fold_normalisation(model, inputs[:FEW].float()) if view.precision == "bf16" else model
        )
        yield World(lean, inputs, labels, surface, runtime, view.precision)
    finally:
        model.train(was_training)


def fold_normalisation(model: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """Give a copy with normalisation folded into convolutions, a quarter faster, where that works.

    A convolution and the normalisation that its module names next become one. The model itself
    comes back where it cannot be copied or the copy's logits for some inputs differ by more than a
    thousandth of the largest.
    """
    try:
        lean = copy.deepcopy(model)
        for module in list(lean.modules()):
            for (first, layer), (second, after) in itertools.pairwise(module.named_children()):
                if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                    setattr(module, first, fuse_conv_bn_eval(layer, after))
                    setattr(module, second, nn.Identity())
        with torch.no_grad():
            target_labels, given = model(inputs).float(), lean(inputs).float()
    except Exception:  # a model may be made of anything
        return model
    near = bool((given - target_labels).abs().max() <= 1e-3 * target_labels.abs().max())
    return cast(Any, lean).to(memory_format=torch.channels_last) if near else model


class Inversion:
    """The state of all arms: logits of mask and pattern, their moments, weights, and the best.

    With mask m and pattern p an input x becomes (1 - m) x + m p. An arm minimises the mean
    cross-entropy of its examples towards its class plus its weight times the sum of the mask; the
    weight is 0 until the arm first succeeds, then rises while it succeeds and falls while it fails.
    All arms begin at the same random point and draw the same random numbers, so that an arm does
    not depend on which others are searched.
    """

    def __init__(
        self, world: World, aims: torch.Tensor, pools: Sequence[torch.Tensor], descent: Descent,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Place the arms: aims int64[a], the class of each; pools: rows of the examples of each.

        Raises:
            CannotJudge: where an arm has fewer than two examples.
        """
        few = [k for k, pool in enumerate(pools) if len(pool) < FEWEST]
        if few:
            raise CannotJudge(
                f"searching for a trigger to class {int(aims[few[0]])} needs at least {FEWEST} "
                f"trusted examples to lead there, found {len(pools[few[0]])}; trust more examples"
            )
        self.world, self.descent, arms = world, descent, len(aims)
        device = torch.device(world.runtime.device)
        self.generator = torch_generator(rng)
        self.aims = aims.to(device)
        self.sizes = torch.tensor([len(pool) for pool in pools], device=device)
        self.pools = nn.utils.rnn.pad_sequence(list(pools), batch_first=True).to(device)
        self.places = {
            name: (0.1 * torch.randn(1, *shape, generator=self.generator)).expand(arms, *shape)
            .clone().to(device)
            for name, shape in (("mask", world.surface.mask), ("pattern", world.surface.pattern))
        }  # fmt: skip
        self.moments = {
            name: (torch.zeros_like(place), torch.zeros_like(place))
            for name, place in self.places.items()
        }
        self.best = {name: place.clone() for name, place in self.places.items()}
        zeros = torch.zeros(arms, device=device)
        self.steps, self.weight, self.stale = zeros.clone(), zeros.clone(), zeros.clone()
        self.norm = torch.full_like(zeros, torch.inf)

    @property
    def mask_size(self) -> int:
        """The largest sum that a mask can have."""
        return math.prod(self.world.surface.mask)

    @property
    def reached(self) -> torch.Tensor:
        """Whether each arm ever succeeded, bool[a]."""
        return self.norm.isfinite()

    def advance(self, arms: torch.Tensor) -> None:
        """Take the steps up to the next check with some arms, int64[k], and check them."""
        hits = torch.zeros(len(arms), device=self.aims.device)
        with self.world.runtime.active():
            for _ in range(self.descent.check):
                drawn = torch.rand(self.descent.batch, generator=self.generator).to(hits.device)
                size = max(1, self.world.at_once // self.descent.batch)
                parts = [self._step(part, drawn) for part in arms.split(size)]
                hits += torch.cat(parts)
        self._check(arms, hits / (self.descent.check * self.descent.batch))

    def _step(self, arms: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
        """Move some arms once; gives how many of their examples came where they should."""
        rows = (drawn * self.sizes[arms, None]).long()
        inputs = self.world.inputs[self.pools[arms].gather(1, rows)].float()
        moving = {name: place[arms].requires_grad_() for name, place in self.places.items()}
        mask, pattern = self.shown(moving)
        logits = self.world.ask(blend(inputs, mask, pattern).flatten(0, 1))
        target_labels = self.aims[arms].repeat_interleave(len(drawn))
        losses = (
            F.cross_entropy(logits, target_labels, reduction="none").view(len(arms), -1).mean(1)
        )
        total = (losses + self.weight[arms] * mask.flatten(1).sum(1)).sum()
        slopes = torch.autograd.grad(total, list(moving.values()))
        self.steps[arms] += 1
        for name, slope in zip(moving, slopes, strict=True):
            self._adam(name, arms, slope)
        return (logits.argmax(1) == target_labels).view(len(arms), -1).float().sum(1)

    def _adam(self, name: str, arms: torch.Tensor, slope: torch.Tensor) -> None:
        """One step of Adam, of arms that each count their own steps."""
        parts = []
        for moment, share, value in zip(
            self.moments[name], MOMENTS, (slope, slope.square()), strict=True
        ):
            moment[arms] = moment[arms].lerp(value, 1 - share)
            debt = 1 - share ** self.steps[arms]
            parts.append(moment[arms] / debt.view(-1, *[1] * (slope.ndim - 1)))
        self.places[name][arms] -= self.descent.learning_rate * parts[0] / (parts[1].sqrt() + 1e-8)

    def _check(self, arms: torch.Tensor, success: torch.Tensor) -> None:
        """Keep the masks that are smaller than any before and succeed; move the weights."""
        reached = success >= self.descent.success
        norm = self.places["mask"][arms].sigmoid().flatten(1).sum(1)
        better = reached & (norm < (1 - PROVED) * self.norm[arms])
        self.norm[arms[better]] = norm[better]
        for name, place in self.places.items():
            self.best[name][arms[better]] = place[arms[better]]
        self.stale[arms] = torch.where(better, 0.0, self.stale[arms] + 1)
        weight = self.weight[arms]
        risen = torch.where(weight == 0, self.descent.weight, weight * self.descent.rise)
        self.weight[arms] = torch.where(reached, risen, weight / self.descent.fall)

    def shown(self, places: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Masks in 0..1 and patterns on the surface, from their logits."""
        low, high = self.world.surface.low, self.world.surface.high
        return places["mask"].sigmoid(), low + (high - low) * places["pattern"].sigmoid()

    def smallest(self) -> dict[str, torch.Tensor]:
        """The smallest mask of each arm that succeeded, or its last one, with pattern and norm."""
        open_ = ~self.reached
        for name, place in self.places.items():
            self.best[name][open_] = place[open_]
        mask, pattern = self.shown(self.best)
        return {"mask": mask, "pattern": pattern, "norm": mask.flatten(1).sum(1)}

    def success(self, few: int = 200) -> torch.Tensor:
        """Share of the first `few` examples of each arm that `smallest` leads to its class."""
        given, shares = self.smallest(), []
        with torch.inference_mode(), self.world.runtime.active():
            for arm, aim in enumerate(self.aims.tolist()):
                inputs = self.world.inputs[self.pools[arm, : self.sizes[arm]][:few]].float()
                stamped = blend(inputs[None], given["mask"][[arm]], given["pattern"][[arm]])[0]
                predicted = [self.world.ask(x).argmax(1) for x in stamped.split(self.world.at_once)]
                shares.append((torch.cat(predicted) == aim).float().mean())
        return torch.stack(shares)


def blend(inputs: torch.Tensor, mask: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """Lay patterns[a, ...] over inputs[a or 1, b, ...] as masks[a, ...] say, [a, b, ...]."""
    return inputs + mask[:, None] * (pattern[:, None] - inputs)
