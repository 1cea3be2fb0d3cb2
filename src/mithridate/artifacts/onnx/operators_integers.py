"""Operators of quantised networks, with gradients.

Whole numbers are kept as floats here, so that derivatives can pass: a rounding hands them on as if
it were not there, and a clipping stops them where it clips.
"""

from __future__ import annotations

import torch

from mithridate.artifacts.onnx.operators_layers import PADS, convolve
from mithridate.artifacts.onnx.table import Call, anything, only, operator

RANGES = {
    torch.uint8: (0, 255),
    torch.int8: (-128, 127),
    torch.uint16: (0, 65535),
    torch.int16: (-32768, 32767),
}
NEAR_SIX = 0.01
"""A range that ends this near to 6 stands for a ReLU6, which quantisers leave out beside it."""
NAMED = {0: None, 2: torch.uint8, 3: torch.int8, 4: torch.uint16, 5: torch.int16}


def shape_along(figure: torch.Tensor, value: torch.Tensor, axis: int, block: int) -> torch.Tensor:
    """Shape a scale or a zero point to be combined with a tensor: one, one a place, one a block."""
    if figure.numel() == 1 and figure.ndim <= 1:
        return figure.reshape(())
    axis %= value.ndim
    if block:
        return figure.repeat_interleave(block, axis).narrow(axis, 0, value.shape[axis])
    return figure.view([-1 if place == axis else 1 for place in range(value.ndim)])


def quantise(
    value: torch.Tensor, scale: torch.Tensor, zero: torch.Tensor | float, kind: torch.dtype,
    clips: bool = True,
) -> torch.Tensor:  # fmt: skip
    """Round to whole numbers, kept as floats. kind: the type that bounds them; clips: `Rounder`."""
    low, high = RANGES[kind]
    whole = round_straight_through(value / scale) + zero
    if clips:
        return whole.clamp(low, high)
    shift = torch.as_tensor(zero, device=whole.device)
    six = ((high - shift) * scale - 6).abs() < NEAR_SIX
    above = torch.where(six, whole.clamp_max(high), whole)
    return torch.where(shift == low, above.clamp_min(low), above)


def round_straight_through(value: torch.Tensor) -> torch.Tensor:
    """Round half to even, with the derivative of the identity."""
    return value + (value.round() - value).detach()


def kind_of(call: Call, zero: torch.Tensor | None) -> torch.dtype:
    """The type that bounds quantised numbers: that of their zero point, or the one named."""
    named = NAMED.get(call.setting("output_dtype", 0))
    kind = named or (torch.uint8 if zero is None else zero.dtype)
    if kind not in RANGES:
        raise ValueError(f"quantised numbers of the type {kind} are not understood")
    return kind


@operator(
    "QuantizeLinear",
    "com.microsoft.QuantizeLinear",
    axis=anything,
    block_size=anything,
    output_dtype=only(*NAMED),
    precision=only(0, 1),
    saturate=anything,
)
def quantise_linear(call: Call) -> torch.Tensor:
    """Round x / scale + zero and clip it."""
    axis, block, zero = call.setting("axis", 1), call.setting("block_size", 0), call.get(2)
    scale = shape_along(call[1], call[0], axis, block)
    shift = 0.0 if zero is None else shape_along(zero, call[0], axis, block).to(scale.dtype)
    return quantise(call[0], scale, shift, kind_of(call, zero), call.clips)


@operator(
    "DequantizeLinear",
    "com.microsoft.DequantizeLinear",
    axis=anything,
    block_size=anything,
    output_dtype=only(0, 1),
)
def dequantise_linear(call: Call) -> torch.Tensor:
    """Undo the quantisation, up to what was rounded: (x - zero) scale."""
    axis, block, zero = call.setting("axis", 1), call.setting("block_size", 0), call.get(2)
    scale = shape_along(call[1], call[0], axis, block)
    value = call[0].to(scale.dtype)
    return (value if zero is None else value - shape_along(zero, value, axis, block)) * scale


@operator("DynamicQuantizeLinear", outputs=3)
def quantise_dynamically(call: Call) -> list[torch.Tensor]:
    """Quantise to bytes by the range of the tensor itself; the range is taken as given."""
    scale, zero = _measure_range(call[0].detach().flatten()[None])
    return [quantise(call[0], scale[0], zero[0], torch.uint8), scale[0], zero[0]]


@operator("dynamic and back")
def quantise_and_dequantise(call: Call) -> torch.Tensor:
    """Quantise by the range of each example and dequantise at once, in the units of the input.

    An example is a row of the first axis, or several in sequence where that axis is longer.
    """
    scale, zero = _measure_range(call[0].detach().reshape(call.batch, -1))
    shape = [call.batch] + [1] * call[0].ndim
    value = call[0].reshape(call.batch, -1, *call[0].shape[1:])
    scale, zero = scale.view(shape), zero.view(shape)
    return ((quantise(value, scale, zero, torch.uint8) - zero) * scale).reshape(call[0].shape)


def _measure_range(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and zero point of the range of each row, which holds zero."""
    low, high = rows.amin(1).clamp(max=0), rows.amax(1).clamp(min=0)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return scale, (-low / scale).round().clamp(0, 255)


def _without_zero(call: Call, place: int, zero: int) -> torch.Tensor:
    """Quantised numbers without their zero point, as floats."""
    value, shift = call[place], call.get(zero)
    value = value if value.is_floating_point() else value.float()
    if shift is None:
        return value
    tall = place == 0 and shift.ndim == 1  # one zero point for each row of the left matrix
    return value - (shift.view(-1, 1) if tall else shift)


@operator("MatMulInteger")
def matmul_integer(call: Call) -> torch.Tensor:
    """Multiply matrices of quantised numbers."""
    return _without_zero(call, 0, 2) @ _without_zero(call, 1, 3)


@operator(
    "ConvInteger",
    auto_pad=PADS,
    dilations=anything,
    group=anything,
    kernel_shape=anything,
    pads=anything,
    strides=anything,
)
def conv_integer(call: Call) -> torch.Tensor:
    """Convolve quantised numbers; what is added around them is their zero point."""
    return convolve(
        call,
        _weight_without_zero(call[0], call.get(2)),
        _weight_without_zero(call[1], call.get(3)),
        None,
    )


def _weight_without_zero(weight: torch.Tensor, zero: torch.Tensor | None) -> torch.Tensor:
    """Quantised numbers without their zero point, of which there is one, or one a filter."""
    weight = weight if weight.is_floating_point() else weight.float()
    return weight if zero is None else weight - shape_along(zero, weight, 0, 0)
