"""What several layers of a model make of an input: one pooled vector for each layer.

The layers are the outputs of normalisations, activation functions and blocks, in the order in which
they are called, and the input of the last linear layer; at most six of them, evenly spaced.
Axes: n inputs, b inputs of a batch, l layers, d channels of a layer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.inference import last_linear, logits_of
from mithridate.core.view import View

MOST = 6
"""Layers that are looked at: neighbouring ones say much the same."""
FEW = 4
"""Inputs that the model is shown alone and together, to see whether that changes a layer."""
STEADY = 1e-3
"""Largest relative change of a layer that counts as rounding."""

LEAVES = (
    _BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU,
    nn.SiLU, nn.Hardswish, nn.Tanh, nn.Sigmoid,
)  # fmt: skip
HOLDERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class Layers(NamedTuple):
    """Pooled activations float32[n, d] of each layer, and logits float32[n, c]."""

    pooled: list[torch.Tensor]
    logits: torch.Tensor


def chosen_layers(view: View) -> torch.Tensor:
    """Choose the layers of a view's model, as places in the order of the calls, int64[l].

    A layer in which the vector of an input depends on the rest of the batch, as where texts are
    padded to the longest, is left out.

    Raises:
        CannotJudge: where no layer is left, as in a model that cannot be looked into.
    """
    few = view.domain.prepare(view.inputs)[:FEW]
    together = _run(view, few, None, "fp32")[0]
    alone = [_run(view, row, None, "fp32")[0] for row in few.split(1)]
    steady = [
        place
        for place, rows in together.items()
        if all(_same(rows[i], one[place][0]) for i, one in enumerate(alone) if place in one)
    ]
    if not steady:
        raise CannotJudge(
            "the model has no layer that can be looked into: it needs normalisations, activation "
            "functions or blocks that are modules; use a guard that only asks the model"
        )
    spaced = torch.linspace(0, len(steady) - 1, min(MOST, len(steady))).round().long()
    return torch.tensor(steady)[spaced]


def activations(view: View, places: torch.Tensor) -> Layers:
    """Give the pooled activations of chosen layers for all inputs of a view.

    Raises:
        CannotJudge: where the model has other layers than the one for which they were chosen.
    """
    by_place, logits = _run(
        view, view.domain.prepare(view.inputs), set(places.tolist()), view.precision
    )
    missing = sorted(set(places.tolist()) - by_place.keys())
    if missing:
        raise CannotJudge(f"the model lacks layers that this was fitted on: calls {missing}")
    return Layers([by_place[place] for place in places.tolist()], logits)


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Whether two vectors are equal but for rounding."""
    if first.shape != second.shape:
        return False
    return bool((first - second).norm() <= STEADY * first.norm())


def _run(
    view: View, prepared: torch.Tensor, places: set[int] | None, precision: str
) -> tuple[dict[int, torch.Tensor], torch.Tensor]:
    """Run the model and listen to it: vectors by place, None for all places, and the logits."""
    seen: dict[int, list[torch.Tensor]] = {}
    with _listening(view.model, seen, places):
        logits = logits_of(view.model, prepared, view.runtime, precision)
    return {p: torch.cat(parts) for p, parts in seen.items() if _whole(parts, prepared)}, logits


def _whole(parts: list[torch.Tensor], prepared: torch.Tensor) -> bool:
    """Whether a layer gave one vector for each input, of the same length in every batch."""
    alike = len({part.shape[1] for part in parts}) == 1
    return alike and sum(map(len, parts)) == len(prepared)


@contextlib.contextmanager
def _listening(
    model: nn.Module, seen: dict[int, list[torch.Tensor]], places: set[int] | None
) -> Iterator[None]:
    """Keep what comes out of every layer that can be looked into, call by call."""
    calls = 0

    def begin(*_: Any) -> None:
        nonlocal calls
        calls = 0

    def keep(module: nn.Module, given: Any, out: Any = None) -> None:
        nonlocal calls
        value, place = given[0] if out is None else out, calls
        calls += 1
        usable = isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim > 1
        if usable and (places is None or place in places):
            channels_first = value.ndim != 3 or isinstance(module, _BatchNorm)
            seen.setdefault(place, []).append(_pooled(value.detach(), channels_first))

    hooks = [model.register_forward_pre_hook(begin)]
    try:
        inside = [module for module in model.modules() if module is not model]
        hooks += [module.register_forward_hook(keep) for module in inside if _speaks(module)]
        with contextlib.suppress(MethodError):  # without a linear layer the others must do
            hooks.append(last_linear(model).register_forward_pre_hook(keep))
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _speaks(module: nn.Module) -> bool:
    """Whether a module's output is looked at: of its kind, or a block of someone's own making."""
    block = any(True for _ in module.children()) and not isinstance(module, HOLDERS)
    return block or isinstance(module, LEAVES)


def _pooled(value: torch.Tensor, channels_first: bool) -> torch.Tensor:
    """The mean over places of [b, d, ...], or of [b, places, d], as float32[b, d]."""
    moved = value.float() if channels_first else value.float().transpose(1, 2)
    pooled = moved.flatten(2).mean(2) if moved.ndim > 2 else moved
    return pooled.cpu()
