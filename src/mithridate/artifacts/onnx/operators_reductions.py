"""Operators that reduce axes to one figure each."""

from __future__ import annotations

from collections.abc import Callable

import torch

from mithridate.artifacts.onnx.table import Call, Function, anything, only, operator

Reduction = Callable[[torch.Tensor, tuple[int, ...], bool], torch.Tensor]


def _product(value: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    """Multiply along axes, one after the other."""
    for axis in sorted((axis % value.ndim for axis in axes), reverse=True):
        value = value.prod(axis, keep)
    return value


REDUCTIONS: dict[str, Reduction] = {
    "ReduceL1": lambda value, axes, keep: value.abs().sum(axes, keep),
    "ReduceL2": lambda value, axes, keep: torch.linalg.vector_norm(value, 2, axes, keep),
    "ReduceLogSum": lambda value, axes, keep: value.sum(axes, keep).log(),
    "ReduceLogSumExp": torch.logsumexp,
    "ReduceMax": torch.amax,
    "ReduceMean": torch.mean,
    "ReduceMin": torch.amin,
    "ReduceProd": _product,
    "ReduceSum": torch.sum,
    "ReduceSumSquare": lambda value, axes, keep: value.square().sum(axes, keep),
}


def _reduction(reduce: Reduction) -> Function:
    """Reduce the axes that are given, or all."""

    def reduced(call: Call) -> torch.Tensor:
        axes = call.whole(1, "axes")
        if not axes and call.setting("noop_with_empty_axes", 0):
            return call[0]
        chosen = tuple(axes or range(call[0].ndim))
        return reduce(call[0], chosen, bool(call.setting("keepdims", 1))) if chosen else call[0]

    return reduced


for _name, _reduce in REDUCTIONS.items():
    operator(_name, axes=anything, keepdims=only(0, 1), noop_with_empty_axes=only(0, 1))(
        _reduction(_reduce)
    )
