"""Maximum margins: how sure a model can be of each class at best, without any data.

Axes: c classes, s starts, r = c * s rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.quantisation import open_ranges
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores
from mithridate.core.streams import torch_generator
from mithridate.core.view import View
from mithridate.scanners.sources import differentiable_model, groups


@dataclass(frozen=True)
class MaximumMargin(Scanner):
    """Find how far each class can be put above all others (MM-BD); needs no data.

    m_k = max over inputs x of z_k(x) - max_{j != k} z_j(x), z the logits, by projected gradient
    ascent from uniform noise; the score is m_k / median_{j != k} m_j, so that models whose logits
    have another scale compare. Shown are "margin" m_k float[c] and "pattern", the inputs where it
    is reached, float[c, ...]. The paper takes plain gradient steps until the margin stands still,
    from 30 starts; steps by the sign of the gradient need fewer, and end in a corner where the
    margin is linear. It fits an exponential null to the margins of the other classes; here p-values
    come from clean models. Activations of static INT8 may leave their ranges meanwhile: clipped to
    what trusted inputs reach, every class has nearly the same margin, and that of a backdoor shows
    no longer.

    Attributes:
        starts: random inputs for each class, all ascend in one batch.
        steps: of the ascent for each class.
        learning_rate: the first step as a share of the range of inputs, it falls to 0 linearly.

    Raises:
        CannotJudge: without gradients, and where the other classes' median margin is not positive:
            the ascent did not find inputs that the model gives to them.
    """

    paper = (
        "Wang et al., MM-BD: Post-Training Detection of Backdoor Attacks with Arbitrary Backdoor "
        "Pattern Types Using a Maximum Margin Statistic, S&P 2024"
    )
    links = ("https://arxiv.org/abs/2205.06900",)
    known_as = ("mm-bd",)
    gradients = True
    assumes = "learning the backdoor made the model surer of its class than data make it of others"

    starts: int = 4
    steps: int = 40
    learning_rate: float = 0.1

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Climb for every class and start at once."""
        if min(self.starts, self.steps) < 1 or self.learning_rate <= 0:
            raise MethodError(f"starts and steps must be at least 1 and the rate positive: {self}")
        blank, classes, device = view.blank, view.classes, view.runtime.device
        surface = view.domain.surface(blank)
        noise = torch.rand(
            (classes * self.starts, *surface.pattern), generator=torch_generator(rng)
        )
        first = (surface.low + (surface.high - surface.low) * noise).to(device)
        target_labels = torch.arange(classes, device=device).repeat_interleave(self.starts)
        tops, ends = [], []
        with differentiable_model(view, first, surface) as model, open_ranges(model):
            refuse_shares(model, first)
            for group in groups(classes, self.starts, view.runtime):
                rows = (target_labels >= group[0]) & (target_labels <= group[-1])
                end = self.climb(model, first[rows], target_labels[rows], surface)
                with torch.no_grad():
                    tops.append(margins(model(end), target_labels[rows]).float().cpu())
                ends.append(end.cpu())
        best, place = torch.cat(tops).view(classes, self.starts).max(1)
        patterns = torch.cat(ends).view(classes, self.starts, *surface.pattern)
        refuse_ceiling(best)
        shown = {"margin": best, "pattern": patterns[torch.arange(classes), place]}
        return Scanned(Scores(divide_by_median(best), unit="class"), shown)

    def climb(
        self, model: nn.Module, inputs: torch.Tensor, target_labels: torch.Tensor, surface: Surface
    ) -> torch.Tensor:
        """Raise the margins of inputs[r, ...] towards the classes wanted, int64[r]."""
        width = self.learning_rate * (surface.high - surface.low)
        for step in range(self.steps):
            point = inputs.detach().requires_grad_(True)
            (slope,) = torch.autograd.grad(margins(model(point), target_labels).sum(), point)
            moved = point.detach() + width * (1 - step / self.steps) * slope.sign()
            inputs = moved.clamp(surface.low, surface.high)
        return inputs


def refuse_shares(model: nn.Module, inputs: torch.Tensor) -> None:
    """Refuse a model that answers with shares of the classes, which sum to the same.

    Every class reaches a share of nearly one, so that the margin of a backdoor shows no longer.
    Percentages are shares, too.

    Raises:
        CannotJudge: it does.
    """
    with torch.no_grad():
        answers = model(inputs).float()
    sums = answers.sum(1)
    if bool((answers >= 0).all()) and bool(((sums - sums[0]).abs() < 1e-3 * sums[0]).all()):
        raise CannotJudge(
            f"the model answers with shares that sum to {float(sums[0]):.4g}, not with logits: a "
            "softmax stands in it, behind which margins say nothing; give the network without it"
        )


def refuse_ceiling(best: torch.Tensor) -> None:
    """Refuse the largest margins float[c] where most classes, and at least three, reach the same.

    Then the answers are bounded, and whether a class could go further is not seen.

    Raises:
        CannotJudge: they are within a thousandth of each other.
    """
    top = best.max()
    reached = int((best >= top - 1e-3 * top.abs()).sum())
    if reached >= max(3, len(best) / 2):
        raise CannotJudge(
            f"{reached} of {len(best)} classes reach the same largest margin, {float(top):.4g}: "
            "the answers are bounded, as by a sigmoid or a softmax in the network, and what lies "
            "beyond is not seen; give the network without it"
        )


def margins(logits: torch.Tensor, target_labels: torch.Tensor) -> torch.Tensor:
    """Give how far logits[r, c] of the classes wanted, int64[r], lie above the next, float[r]."""
    own = torch.nn.functional.one_hot(target_labels, logits.shape[1]).bool()
    return logits[own] - logits.masked_fill(own, -torch.inf).amax(1)


def divide_by_median(values: torch.Tensor) -> torch.Tensor:
    """Divide each of the values float[c] by the median of the others.

    Raises:
        CannotJudge: where a median is not positive, or there is no other class.
    """
    if len(values) < 2:
        raise CannotJudge("margins compare classes, and the model has only one: nothing to compare")
    others = ~torch.eye(len(values), dtype=torch.bool)
    middle = torch.stack([values[row].quantile(0.5) for row in others])
    if not bool((middle > 0).all()):
        raise CannotJudge(
            "most classes have no positive margin: the ascent found no input that the model gives "
            f"to them; take more steps or starts (margins {[round(v, 3) for v in values.tolist()]})"
        )
    return values / middle
