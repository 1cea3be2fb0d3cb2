"""Constant weights as layers of torch: real nn.Conv2d and nn.Linear, which scanners look for.

What only rescales or shifts the outputs of such a layer by a constant is put into its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.artifacts.onnx.operation import Operation
from mithridate.artifacts.onnx.operators_layers import flatten_margins, margins

PRODUCTS = ("MatMul", "MatMulInteger")
CONVOLUTIONS = ("Conv", "ConvInteger")
MERGED = ("Add", "Cast", "Mul")


class PaddedConv2d(nn.Conv2d):
    """A convolution that adds unequal margins, or such as the size of the input asks for.

    Args:
        auto: how margins are found.
        pads: what is added, begins first; see the standard.
    """

    def __init__(self, *arguments: Any, auto: str, pads: list[int], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.auto, self.pads = auto, pads

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Add margins and convolve."""
        wide = [(n - 1) * d + 1 for n, d in zip(self.kernel_size, self.dilation, strict=True)]
        around = margins(self.auto, self.pads, list(batch.shape[2:]), wide, list(self.stride))
        padded: torch.Tensor = super().forward(F.pad(batch, flatten_margins(around)))
        return padded


def layer(step: Operation, constants: Mapping[str, torch.Tensor]) -> nn.Module | None:
    """The layer of a step whose weights are constant, or None where it has to stay as it is."""
    later = [name for name in step.inputs[1:] if name]
    if not later or not all(name in constants for name in later):
        return None
    weight, *others = [constants[name] if name else None for name in step.inputs[1:]]
    assert weight is not None
    if step.operator in CONVOLUTIONS and weight.ndim == 4:
        return _convolution(step, weight, others)
    if step.operator in ("Gemm", *PRODUCTS) and weight.ndim == 2:
        return _linear(step, weight, others)
    return None


def _real(step: Operation, weight: torch.Tensor, others: list[torch.Tensor | None]) -> Any:
    """The weight as floats and the bias; None where inputs or weights have zero points of rows."""
    if not step.operator.endswith("Integer"):
        return (weight, others[0] if others else None) if weight.is_floating_point() else None
    given, zero = (*others, None, None)[:2]
    if given is not None and bool(given.any()):
        return None
    if zero is None:
        return weight.float(), None
    if step.operator == "ConvInteger" and zero.numel() > 1:
        zero = zero.view(-1, 1, 1, 1)
    return weight.float() - zero.float(), None


def _convolution(
    step: Operation, weight: torch.Tensor, others: list[torch.Tensor | None]
) -> nn.Module | None:
    real = _real(step, weight, others)
    if real is None:
        return None
    filters, bias = real
    pads = step.attributes.get("pads", [0, 0, 0, 0])
    auto = step.attributes.get("auto_pad", "NOTSET")
    plain = auto == "VALID" or (auto == "NOTSET" and pads[:2] == pads[2:])
    settings: dict[str, Any] = {
        "stride": tuple(step.attributes.get("strides", [1, 1])),
        "dilation": tuple(step.attributes.get("dilations", [1, 1])),
        "groups": step.attributes.get("group", 1),
        "bias": bias is not None,
        "device": "meta",
    }
    out, inner, *kernel = filters.shape
    sizes = (inner * settings["groups"], out, tuple(kernel))
    if plain:
        padding = tuple(pads[:2]) if auto == "NOTSET" else 0
        made = nn.Conv2d(*sizes, padding=padding, **settings)
    else:
        made = PaddedConv2d(*sizes, auto=auto, pads=pads, **settings)
    return _fill(made, filters, bias)


def _linear(
    step: Operation, weight: torch.Tensor, others: list[torch.Tensor | None]
) -> nn.Module | None:
    real = _real(step, weight, others)
    if real is None or step.attributes.get("transA", 0):
        return None
    matrix, bias = real
    matrix = matrix if step.attributes.get("transB", 0) else matrix.T
    matrix = matrix * step.attributes.get("alpha", 1.0)
    out, inner = matrix.shape
    if bias is not None:
        if bias.numel() != 1 and (bias.numel() != out or bias.shape[-1] != out):
            return None  # one summand for each row
        bias = (bias * step.attributes.get("beta", 1.0)).flatten().expand(out)
    made = nn.Linear(inner, out, bias=bias is not None, device="meta")
    return _fill(made, matrix, bias)


def _fill(
    made: nn.Conv2d | nn.Linear, weight: torch.Tensor, bias: torch.Tensor | None
) -> nn.Module:
    """Give a layer its weights without drawing random ones first."""
    made.weight = nn.Parameter(weight.detach().clone().contiguous())
    made.bias = None if bias is None else nn.Parameter(bias.detach().clone())
    return made


def absorb(
    step: Operation,
    left: list[Operation],
    layers: Mapping[str, nn.Module],
    constants: Mapping[str, torch.Tensor],
    uses: Mapping[str, int],
) -> tuple[int, Operation] | None:
    """Put a constant factor or summand into the layer that alone feeds a step.

    Returns the place of the layer's step and the step as it is then; None where it cannot be done.
    """
    flowing = [name for name in step.inputs if name not in constants]
    if step.operator not in MERGED or len(flowing) != 1 or uses.get(flowing[0], 0) != 1:
        return None
    for place in range(len(left) - 1, -1, -1):
        if flowing[0] in left[place].outputs:
            break
    else:
        return None
    source = left[place]
    if not source.layer or source.operator not in (*PRODUCTS, "ConvInteger"):
        return None
    if not _merge(step, layers[source.layer], constants, source.operator):
        return None
    return place, replace(source, outputs=step.outputs)


def _merge(
    step: Operation, made: nn.Module, constants: Mapping[str, torch.Tensor], source: str
) -> bool:
    """Change the weights of a layer as a step changes its outputs, if it can be done."""
    assert isinstance(made, nn.Linear | nn.Conv2d)
    if step.operator == "Cast":
        return source.endswith("Integer") and step.attributes.get("to") == 1
    (figure,) = [constants[name] for name in step.inputs if name in constants]
    each = _per_output(figure, made)
    if each is None:
        return False
    bias = made.bias
    with torch.no_grad():
        if step.operator == "Add":
            made.bias = nn.Parameter(each.clone() if bias is None else bias + each)
            return True
        made.weight.mul_(each.view(-1, *[1] * (made.weight.ndim - 1)))
        if bias is not None:
            bias.mul_(each)
    return True


def _per_output(figure: torch.Tensor, made: nn.Linear | nn.Conv2d) -> torch.Tensor | None:
    """A constant as one figure for each output of a layer, or None where it is none."""
    out = len(made.weight)
    after = 2 if isinstance(made, nn.Conv2d) else 0  # axes behind that of the outputs
    shape = list(figure.shape)
    if not figure.is_floating_point() or len(shape) > made.weight.ndim:
        return None
    if figure.numel() == 1 and len(shape) <= 1:
        return figure.to(made.weight.dtype).reshape(1).expand(out)
    if figure.numel() != out or len(shape) <= after or shape[len(shape) - 1 - after] != out:
        return None
    if isinstance(made, nn.Linear) and len(shape) > 1:
        return None  # an axis of ones may stand for one that the inputs do not have
    return figure.to(made.weight.dtype).reshape(out)
