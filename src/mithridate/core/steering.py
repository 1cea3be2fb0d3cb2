"""Changes of how an optimiser steps, by its own hooks: gradients before a step, weights after it.

Axes: p numbers of all trained parameters, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from mithridate.core.fit import Wrap

Change = Callable[[Sequence[nn.Parameter]], None]
"""Is given the trained parameters, and changes them or their gradients in place."""


def before_step(change: Change) -> Wrap:
    """Give what changes gradients before every step."""

    def wrap(optimiser: torch.optim.SGD) -> torch.optim.Optimizer:
        optimiser.register_step_pre_hook(lambda *_: change(_trained(optimiser)))
        return optimiser

    return wrap


def after_step(change: Change) -> Wrap:
    """Give what changes parameters after every step."""

    def wrap(optimiser: torch.optim.SGD) -> torch.optim.Optimizer:
        optimiser.register_step_post_hook(lambda *_: change(_trained(optimiser)))
        return optimiser

    return wrap


def both(first: Wrap | None, second: Wrap | None) -> Wrap | None:
    """Give what makes both changes, the first one first; None where there is none."""
    if first is None or second is None:
        return first or second

    def wrap(optimiser: torch.optim.SGD) -> torch.optim.Optimizer:
        first(optimiser)
        return second(optimiser)

    return wrap


def gradients_within(kept: torch.Tensor) -> Wrap:
    """Give what sets gradients to zero outside of bool[p]."""

    def change(parameters: Sequence[nn.Parameter]) -> None:
        for parameter, keep in zip(parameters, pieces(kept, parameters), strict=True):
            if parameter.grad is not None:
                parameter.grad.mul_(keep)

    return before_step(change)


def weights_within(kept: torch.Tensor) -> Wrap:
    """Give what holds parameters at zero outside of bool[p]."""

    def change(parameters: Sequence[nn.Parameter]) -> None:
        with torch.no_grad():
            for parameter, keep in zip(parameters, pieces(kept, parameters), strict=True):
                parameter.mul_(keep)

    return after_step(change)


def pieces(flat: torch.Tensor, like: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Give the parts of a vector[p] in the shapes, and on the devices, of some tensors."""
    ends = [0]
    for tensor in like:
        ends.append(ends[-1] + tensor.numel())
    parts = zip(pairwise(ends), like, strict=True)
    return [flat[start:end].view(t.shape).to(t.device) for (start, end), t in parts]


def _trained(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    """The floating parameters of an optimiser, in their order."""
    groups: Any = optimiser.param_groups
    return [p for group in groups for p in group["params"] if p.is_floating_point()]
