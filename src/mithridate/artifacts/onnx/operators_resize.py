"""Resizing along axes, one after the other, as the standard defines coordinates."""

from __future__ import annotations

import math

import torch

from mithridate.artifacts.onnx.table import Call, anything, check_shape, only, operator

COORDINATES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@operator(
    "Resize",
    mode=only("nearest", "linear"),
    coordinate_transformation_mode=only(*COORDINATES),
    nearest_mode=only(*NEAREST),
    antialias=only(0),
    axes=anything,
    keep_aspect_ratio_policy=only("stretch"),
    cubic_coeff_a=anything,
    exclude_outside=only(0),
    extrapolation_value=anything,
)
def resize(call: Call) -> torch.Tensor:
    """Resize by scales or to sizes; the tenth set of operators knows scales only."""
    value = call[0]
    scales = call.get(1 if call.opset < 11 else 2)
    axes = [axis % value.ndim for axis in call.setting("axes", range(value.ndim))]
    before = [value.shape[axis] for axis in axes]
    if scales is not None and scales.numel():
        factors = [float(scale) for scale in scales.tolist()]
        after = [math.floor(n * factor) for n, factor in zip(before, factors, strict=True)]
    else:
        after = [int(n) for n in call[3].tolist()]
        factors = [new / old for new, old in zip(after, before, strict=True)]
    wanted = dict(zip(axes, after, strict=True))
    check_shape([wanted.get(axis, n) for axis, n in enumerate(value.shape)])
    for axis, factor in zip(axes, factors, strict=True):
        if factor != 1:
            value = _resize_axis(value, axis, wanted[axis], factor, call)
    return value


def _resize_axis(
    value: torch.Tensor, axis: int, size: int, factor: float, call: Call
) -> torch.Tensor:
    """Resize one axis."""
    last = value.shape[axis] - 1
    mode = call.setting("coordinate_transformation_mode", "half_pixel")
    if call.opset < 11:
        mode = "asymmetric"
    where = coordinates(size, value.shape[axis], factor, mode)
    if call.setting("mode", "nearest") == "nearest":
        kind = "floor" if call.opset < 11 else call.setting("nearest_mode", NEAREST[0])
        places = nearest(where, kind).clamp(0, last)
        return value.index_select(axis, places.to(value.device))
    low = where.floor()
    share = (where - low).to(value.dtype).to(value.device)
    share = share.view([-1 if place == axis else 1 for place in range(value.ndim)])
    below = value.index_select(axis, low.long().clamp(0, last).to(value.device))
    above = value.index_select(axis, (low.long() + 1).clamp(0, last).to(value.device))
    return below * (1 - share) + above * share


def coordinates(size: int, before: int, factor: float, mode: str) -> torch.Tensor:
    """Where the places of the result lie in what is resized, float64[size]."""
    places = torch.arange(size, dtype=torch.float64)
    if mode == "align_corners":
        return places * (before - 1) / (size - 1) if size > 1 else places * 0
    if mode == "asymmetric":
        return places / factor
    if mode == "pytorch_half_pixel" and size <= 1:
        return places * 0
    return (places + 0.5) / factor - 0.5


def nearest(where: torch.Tensor, kind: str) -> torch.Tensor:
    """Round coordinates to places."""
    if kind == "round_prefer_floor":
        return (where - 0.5).ceil().long()
    if kind == "round_prefer_ceil":
        return (where + 0.5).floor().long()
    return (where.floor() if kind == "floor" else where.ceil()).long()
