"""Universal perturbations that transfer: how easily unseen inputs are sent to each class.

Axes: c classes, b examples of a class, g classes of a group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.domain import Surface
from mithridate.core.errors import MethodError
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores
from mithridate.core.view import View
from mithridate.scanners.sources import Sources, differentiable_model, groups, sources


@dataclass(frozen=True)
class UniversalTransfer(Scanner):
    """Learn one small perturbation for each class and see whether new inputs follow it.

    For every class k: v_k = argmin over |v| <= size * range * sqrt(d) of the mean cross-entropy
    towards k of x + v over trusted x of other classes; score_k = mean probability of k over
    held-out x' + v_k, clipped and rounded as inputs are. Shown are "success" float[c], the share of
    x' + v_k that is called k, and "pattern" v_k float[c, ...]. The bound is Euclidean: with the
    largest change bounded instead, a trigger of few places is out of reach. The paper repeats
    DeepFool over examples and asks for no class; here one descent serves all, and the size is fixed
    so that classes compare: chosen on small CIFAR-10 networks, where at 10 / 255 all classes of
    clean ones are near, too.

    Attributes:
        size: root mean square of the perturbation over the d values of an input, as a share of
            their range.
        steps: of the ascent for each class.
        learning_rate: the first step as a share of the bound, it falls to 0 linearly.
        examples: trusted ones to learn from for each class, of a quarter of them, at most; the rest
            is held out.

    Raises:
        CannotJudge: without gradients or without trusted examples of other classes.
    """

    paper = "Moosavi-Dezfooli et al., Universal Adversarial Perturbations, CVPR 2017"
    links = ("https://arxiv.org/abs/1610.08401",)
    gradients = True
    assumes = "the class of a backdoor is reached by a smaller common change than other classes"

    size: float = 4 / 255
    steps: int = 30
    learning_rate: float = 0.4
    examples: int = 32

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Learn for all classes at once, and test."""
        if min(self.size, self.learning_rate) <= 0 or min(self.steps, self.examples) < 1:
            raise MethodError(
                f"size and rate must be positive, steps and examples at least 1: {self}"
            )
        drawn = sources(view, self.examples, rng)
        surface = view.domain.surface(drawn.prepared)
        device = torch.device(view.runtime.device)
        tested, patterns = [], []
        with differentiable_model(view, drawn.prepared, surface) as model:
            for group in groups(view.classes, drawn.learn.shape[1], view.runtime):
                seen = drawn.prepared[drawn.learn[group]].float().to(device)
                pattern = self.learn(model, seen, group.to(device), surface)
                tested.append(success(model, drawn, group.to(device), pattern, surface))
                patterns.append(pattern.cpu())
        values, shares = torch.cat(tested).T.cpu()
        shown = {"success": shares, "pattern": torch.cat(patterns)}
        return Scanned(Scores(values, unit="class"), shown)

    def learn(
        self, model: nn.Module, inputs: torch.Tensor, target_labels: torch.Tensor, surface: Surface
    ) -> torch.Tensor:
        """Learn float[g, ...] that sends inputs[g, b, ...] to the classes wanted, int64[g]."""
        n, each = inputs.shape[:2]
        flat = (n, *[1] * (inputs.ndim - 2))
        bound = self.size * (surface.high - surface.low) * inputs[0, 0].numel() ** 0.5
        change = torch.zeros(n, *inputs.shape[2:], device=inputs.device)
        labels = target_labels.repeat_interleave(each)
        for step in range(self.steps):
            point = change.requires_grad_(True)
            moved = (inputs + point[:, None]).clamp(surface.low, surface.high)
            loss = F.cross_entropy(model(moved.flatten(0, 1)).float(), labels, reduction="sum")
            (slope,) = torch.autograd.grad(loss, point)
            length = slope.flatten(1).norm(dim=1).clamp_min(1e-20).view(flat)
            down = bound * self.learning_rate * (1 - step / self.steps) * slope / length
            change = point.detach() - down
            far = change.flatten(1).norm(dim=1).clamp_min(1e-20).view(flat)
            change = change * (bound / far).clamp_max(1.0)
        return change


def success(
    model: nn.Module,
    drawn: Sources,
    target_labels: torch.Tensor,
    pattern: torch.Tensor,
    surface: Surface,
) -> torch.Tensor:
    """Give the mean probability and the share of held-out inputs sent to classes, float[g, 2]."""
    rates = []
    with torch.no_grad():
        for label, change in zip(target_labels.tolist(), pattern, strict=True):
            inputs = drawn.prepared[drawn.held[label]].float().to(change.device)
            moved = (inputs + change).clamp(surface.low, surface.high)
            if not drawn.prepared.is_floating_point():
                moved = moved.round()
            logits = model(moved).float()
            predicted = (logits.argmax(1) == label).float().mean()
            rates.append(torch.stack([logits.softmax(1)[:, label].mean(), predicted]))
    return torch.stack(rates)
