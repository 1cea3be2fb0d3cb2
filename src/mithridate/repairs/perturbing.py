"""Where a network can be perturbed, and how it answers there.

Inputs that can move by a little are perturbed as they enter the network. Others, such as numbers of
words, have no neighbours: there the features are perturbed, the inputs of the last linear layer.
Axes: n examples, b examples of a batch, d features, c classes.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import nn

from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge
from mithridate.core.inference import forward, last_linear
from mithridate.core.runtime import Runtime


class Site(NamedTuple):
    """What is perturbed.

    Attributes:
        features: whether it is the features and not the inputs.
        shape: of one of them.
        spread: standard deviation of their values over the examples, the unit of every
            perturbation.
    """

    features: bool
    shape: torch.Size
    spread: float

    def logits(self, model: nn.Module, inputs: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """Give float[b, c] for prepared inputs[b, ...] changed by float[b or 1, ...] spreads."""
        moved = self.spread * change
        if not self.features:
            return cast(torch.Tensor, model(inputs.float() + moved)).float()

        def add(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> torch.Tensor:
            kept = arguments[0]
            return kept + moved.expand(len(kept), *self.shape).reshape(kept.shape)

        hook = last_linear(model).register_forward_pre_hook(add)
        try:
            return cast(torch.Tensor, model(inputs)).float()
        finally:
            hook.remove()


def site(model: nn.Module, prepared: torch.Tensor, domain: Domain, runtime: Runtime) -> Site:
    """Find where a network for such prepared inputs[n, ...] is perturbed."""
    features = False
    try:
        domain.surface(prepared)
    except CannotJudge:
        features = True
    values = forward(model, prepared, runtime)[0] if features else prepared.float()
    return Site(features, values.shape[1:], float(values.std(correction=0)) or 1.0)
