"""Optimisers of torch that leave its compiler alone.

torch's own import `torch._dynamo` when they are made and at every step, to say that they are not to
be compiled. Nothing is compiled here, and the import takes a process 1.8 s of work (torch 2.13).
These take the same steps, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch.optim import Optimizer


def _inner(method: Callable[..., Any]) -> Any:
    """What torch wraps for its compiler; the method itself where a torch wraps nothing."""
    return getattr(method, "__wrapped__", method)


def _stepping(kind: type[Optimizer]) -> Any:
    """The step of an optimiser, without gradients."""
    return torch.no_grad()(cast(Any, _inner(kind.step)))


class _Uncompiled(Optimizer):
    """The methods of any optimiser as torch wrote them."""

    add_param_group = _inner(Optimizer.add_param_group)
    zero_grad = _inner(Optimizer.zero_grad)
    state_dict = _inner(Optimizer.state_dict)
    load_state_dict = _inner(Optimizer.load_state_dict)


class SGD(_Uncompiled, torch.optim.SGD):
    """Stochastic gradient descent."""

    step = _stepping(torch.optim.SGD)


class Adam(_Uncompiled, torch.optim.Adam):
    """Adam."""

    step = _stepping(torch.optim.Adam)


class AdamW(_Uncompiled, torch.optim.AdamW):
    """Adam with a decay of its own."""

    step = _stepping(torch.optim.AdamW)
