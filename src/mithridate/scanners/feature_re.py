"""Inversion in feature space: a few features that a small change of inputs pins to a common value.

Axes: c classes, g classes of a group, b examples of a class, d features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.inference import features_of, last_linear
from mithridate.core.optimisers import Adam
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores
from mithridate.core.view import View
from mithridate.scanners.sources import differentiable_model, groups, sources


@dataclass(frozen=True)
class FeatureRE(Scanner):
    """Search for a trigger in feature space: features that one transform of inputs makes constant.

    A network is b(a(x)), b its last linear layer. For every class k a transform F(x) = s * x + v
    and a mask m of features are learnt together, so that b(m * a(F(x)) + (1 - m) * a(x')) is k for
    other trusted x, x' of other classes, while rms(F(x) - x) <= size, mean over the mask of the
    standard deviation of a(F(x)) <= deviation, |m|_1 <= share * d, and a(F(x)) stays apart from the
    class's own features. With r the relative excesses over these three bounds, score_k = success -
    cos(mean a(F(x)), mean a of trusted k) - sum r, on held-out inputs. Shown are "success",
    "likeness" (the cosine) and "size" (the root mean square), float[c]. The paper's F is a U-Net,
    which can also warp and blur and follow the input; s and v cannot, so triggers that move what is
    there are not reached. It cuts the network at an earlier layer too, and takes 400 epochs for
    each class. The bounds for size and deviation are ours.

    Attributes:
        size: the largest root mean square of F(x) - x, as a share of the range of inputs.
        deviation: the largest mean spread of the masked features, in standard deviations of the
            same features over trusted inputs.
        share: of the features that the mask may cover.
        steps: of the descent, for each class.
        learning_rate: of v, as a share of the range.
        examples: trusted ones to learn from for each class, of a quarter of them, at most.

    Raises:
        CannotJudge: without gradients, without trusted examples of every class, or where the
            network does not end in its last linear layer.
    """

    paper = "Wang et al., Rethinking the Reverse-engineering of Trojan Triggers, NeurIPS 2022"
    links = ("https://arxiv.org/abs/2210.15127",)
    known_as = ("featurere",)
    gradients = True
    assumes = "triggered inputs share the value of a few features, which decide for the class"

    size: float = 6 / 255
    deviation: float = 1.0
    share: float = 0.1
    steps: int = 50
    learning_rate: float = 0.01
    examples: int = 24

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Invert for every class at once, and test."""
        if min(self.size, self.deviation, self.share, self.learning_rate) <= 0 or self.steps < 1:
            raise MethodError(f"bounds and rate must be positive, steps at least 1: {self}")
        drawn = sources(view, self.examples, rng)
        surface, device = view.domain.surface(drawn.prepared), view.runtime.device
        labels, parts = view.clean.labels, []
        with differentiable_model(view, drawn.prepared, surface) as model:
            space = Space.of(model, drawn.prepared.to(device), labels.to(device), view)
            for group in groups(view.classes, drawn.learn.shape[1], view.runtime):
                inversion = FeatureInversion(self, space, surface, group.to(device))
                learn, held = drawn.learn[group].to(device), drawn.held[group].to(device)
                inversion.learn(drawn.prepared.to(device)[learn].float(), space.features[learn])
                with torch.no_grad():
                    inputs = drawn.prepared.to(device)[held].float()
                    ends = inversion.measure(inputs, space.features[held])
                parts.append(torch.stack([ends.success, ends.likeness, ends.over, ends.size]).cpu())
        success, likeness, over, size = torch.cat(parts, 1)
        shown = {"success": success, "likeness": likeness, "size": size}
        return Scanned(Scores(success - likeness - over, unit="class"), shown)


class Space(NamedTuple):
    """A network in two parts, and its features of trusted examples.

    Attributes:
        features: float[n, d].
        means: of each class float[c, d].
        spread: of all float[d].
    """

    model: nn.Module
    head: nn.Linear
    features: torch.Tensor
    means: torch.Tensor
    spread: torch.Tensor

    @staticmethod
    def of(model: nn.Module, prepared: torch.Tensor, labels: torch.Tensor, view: View) -> Space:
        """Cut a network in two.

        Raises:
            CannotJudge: where its last linear layer does not end it, where a class has no trusted
                example or where no feature varies.
        """
        head, batches = last_linear(model), prepared.split(view.runtime.batch_size)
        with torch.no_grad():
            features = torch.cat([features_of(model, batch) for batch in batches]).float()
            few, whole = features[:8], features.shape[1] == head.in_features
            if not whole or not torch.allclose(head(few), model(prepared[:8]), atol=1e-3):
                raise CannotJudge(
                    "the network does more after its last linear layer, so that its features "
                    "cannot be exchanged; use a scanner that inverts inputs"
                )
        counts = torch.bincount(labels, minlength=view.classes)
        spread = features.std(0, correction=0)
        if not bool(counts.all()) or not bool(spread.any()):
            raise CannotJudge(
                "features are compared with those of each class: trust at least one example of "
                f"every class and examples that differ; found {counts.tolist()}"
            )
        means = torch.stack([features[labels == k].mean(0) for k in range(view.classes)])
        return Space(model, head, features, means, spread.clamp_min(1e-3 * float(spread.max())))


class Terms(NamedTuple):
    """What an inversion comes to, float[g] each; over: the sum of the relative excesses."""

    loss: torch.Tensor
    success: torch.Tensor
    likeness: torch.Tensor
    over: torch.Tensor
    size: torch.Tensor


class FeatureInversion:
    """A transform of inputs and a mask of features for each class of a group."""

    def __init__(
        self, method: FeatureRE, space: Space, surface: Surface, target_labels: torch.Tensor
    ) -> None:
        self.method, self.space, self.surface, self.target_labels = (
            method,
            space,
            surface,
            target_labels,
        )
        new, g = space.features.new_zeros, len(target_labels)
        self.scale = new(g, 1, *surface.mask).add_(1).requires_grad_(True)
        self.shift = new(g, 1, *surface.pattern).requires_grad_(True)
        self.hold = new(g, 1, space.features.shape[1]).requires_grad_(True)

    def learn(self, inputs: torch.Tensor, features: torch.Tensor) -> None:
        """Descend on inputs[g, b, ...] of other classes with features[g, b, d]."""
        moved, rate = [self.scale, self.shift, self.hold], self.method.learning_rate
        rates = (rate, rate * (self.surface.high - self.surface.low), 0.1)
        optimiser = Adam(
            [{"params": [p], "lr": r} for p, r in zip(moved, rates, strict=True)], betas=(0.5, 0.9)
        )
        for _ in range(self.method.steps):
            slopes = torch.autograd.grad(self.measure(inputs, features).loss.sum(), moved)
            for parameter, slope in zip(moved, slopes, strict=True):
                parameter.grad = slope
            optimiser.step()

    def measure(self, inputs: torch.Tensor, features: torch.Tensor) -> Terms:
        """Transform inputs[g, b, ...] and exchange features[g, b, d] of theirs."""
        method, space, low, high = self.method, self.space, self.surface.low, self.surface.high
        moved = (self.scale * inputs + self.shift).clamp(low, high)
        changed = features_of(space.model, moved.flatten(0, 1)).float().view(features.shape)
        mask = self.hold.sigmoid()
        logits = space.head(mask * changed + (1 - mask) * features.roll(1, 1))
        labels = self.target_labels[:, None].expand(logits.shape[:2])
        cost = F.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(1)
        own = F.cosine_similarity(changed.mean(1), space.means[self.target_labels], dim=1)
        size = ((moved - inputs) / (high - low)).flatten(1).square().mean(1).add(1e-12).sqrt()
        apart = (
            mask[:, 0]
            * (changed - changed.mean(1, keepdim=True)).square().mean(1).add(1e-12).sqrt()
            / space.spread
        )
        width = mask.sum((1, 2))
        over = (
            (size / method.size - 1).relu()
            + (apart.sum(1) / width / method.deviation - 1).relu()
            + (width / (method.share * mask.shape[2]) - 1).relu()
        )
        success = (logits.argmax(2) == labels).float().mean(1)
        return Terms(cost + own.relu() + over, success, own, over, size)
