"""Fine-pruning: features that sleep on trusted examples are cut, and the rest is fine-tuned.

Axes: n examples, d features, c classes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.errors import MethodError
from mithridate.core.inference import forward, last_linear
from mithridate.core.view import View
from mithridate.repairs.fine_tuning import FineTuning
from mithridate.repairs.trusted import hold_out, use_all_trusted


@dataclass(frozen=True)
class FinePruning(FineTuning):
    """Cut the features that are least active on trusted examples, then fine-tune.

    The d features, which are the inputs of the last linear layer, are taken in the order of mean_i
    |f_j(x_i)| over trusted x_i, smallest first, and cut one by one for as long as the accuracy on
    held-out trusted examples stays at (accuracy before - tolerance) or above; one feature is always
    left. A cut feature has a column of zeros in that layer, through the fine-tuning, too, which
    takes all trusted examples. The form of the network stays. The paper cuts channels of the last
    convolution. Where the features are their pooled values it is the same; in a residual network a
    path leads around the last convolution, and a channel that is cut there lives on in it. Networks
    without convolutions have features as well.

    Attributes:
        tolerance: accuracy that cutting may cost, as a share.

    Raises:
        MethodError: where fewer than ten examples are trusted, a setting is out of range or the
            last linear layer is not given one vector for each example.
    """

    paper = "Liu, Dolan-Gavitt and Garg, Fine-Pruning, RAID 2018"
    links = ("https://arxiv.org/abs/1805.12185",)
    known_as = ("fp",)
    space: ClassVar[dict[str, tuple[float, ...]]] = {
        "tolerance": (0.01, 0.04, 0.1),
        "learning_rate": (0.05, 0.1, 0.2),
    }

    tolerance: float = 0.04

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Cut features of a copy of the model and fine-tune it."""
        if not 0 <= self.tolerance <= 1:
            raise MethodError(f"the tolerance must lie in 0..1, found {self.tolerance}")
        dead = self.sleeping(view, rng)
        model = copy.deepcopy(view.model)
        head = last_linear(model)
        with torch.no_grad():
            head.weight[:, dead.to(head.weight.device)] = 0

        # Where an input is always zero its column has no gradient: it stays zero in every step.
        def silence(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> torch.Tensor:
            return arguments[0].masked_fill(dead.to(arguments[0].device), 0)

        hook = head.register_forward_pre_hook(silence)
        try:
            return self.tune(model, view, use_all_trusted(view), rng)
        finally:
            hook.remove()

    def sleeping(self, view: View, rng: np.random.Generator) -> torch.Tensor:
        """Find the features to cut, bool[d]."""
        learn, held = hold_out(view, rng)
        activity = _features(view, learn).abs().mean(0)
        order = activity.argsort(stable=True)
        head = copy.deepcopy(last_linear(view.model)).cpu().double()
        right = accuracies(_features(view, held)[:, order], held.labels, head, order)
        too_far = right < right[0] - self.tolerance - 1e-9
        cut = int(too_far.int().argmax()) - 1 if bool(too_far.any()) else len(right) - 1
        dead = torch.zeros(len(order), dtype=torch.bool)
        dead[order[:cut]] = True
        return dead


def accuracies(
    features: torch.Tensor, labels: torch.Tensor, head: nn.Linear, order: torch.Tensor
) -> torch.Tensor:
    """Give the accuracy after cutting the first 0, 1, ..., d - 1 features, float64[d].

    Args:
        features: float[n, d], in the order int64[d] in which they are cut.
        head: the last linear layer.
    """
    weight, columns = head.weight.detach()[:, order], features.double()
    logits = columns @ weight.T + (0 if head.bias is None else head.bias.detach())
    right = [(logits.argmax(1) == labels).double().mean()]
    for j in range(len(order) - 1):
        logits -= torch.outer(columns[:, j], weight[:, j])
        right.append((logits.argmax(1) == labels).double().mean())
    return torch.stack(right)


def _features(view: View, data: Dataset) -> torch.Tensor:
    """The features of some examples, float[n, d]."""
    prepared = view.domain.prepare(data.inputs)
    features = forward(view.model, prepared, view.runtime, precision="fp32")[0]
    expected = last_linear(view.model).in_features
    if features.shape[1] != expected:
        raise MethodError(
            f"expected {expected} features of each example before the last linear layer, found "
            f"{features.shape[1]}; use a repair that only trains, such as fine-tuning"
        )
    return features
