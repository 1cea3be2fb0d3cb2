"""Operators that work on each element, or on pairs of them: arithmetic, activations, conditions."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
import torch.nn.functional as F

from mithridate.artifacts.onnx.table import Call, Function, anything, only, operator

UNARY: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "Abs": torch.abs,
    "Atan": torch.atan,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "HardSwish": F.hardswish,
    "Identity": lambda given: given,
    "IsNaN": torch.isnan,
    "Log": torch.log,
    "Mish": F.mish,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
}
BINARY: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "PRelu": lambda given, slope: torch.where(given < 0, slope * given, given),
    "Pow": lambda base, power: torch.pow(base, power).to(base.dtype),
    "Sub": torch.sub,
    "Xor": torch.logical_xor,
}
SEVERAL: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "Max": torch.maximum,
    "Min": torch.minimum,
    "Sum": torch.add,
}
TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}
"""Types of elements by their number in files."""


def _unary(function: Callable[[torch.Tensor], torch.Tensor]) -> Function:
    return lambda call: function(call[0])


def _binary(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Function:
    return lambda call: function(call[0], call[1])


def _several(function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Function:
    return lambda call: reduce(function, [call[place] for place in range(len(call.inputs))])


for _name, _one in UNARY.items():
    operator(_name)(_unary(_one))
for _name, _two in BINARY.items():
    operator(_name)(_binary(_two))
for _name, _two in SEVERAL.items():
    operator(_name)(_several(_two))


@operator("Mean")
def mean_of_several(call: Call) -> torch.Tensor:
    """Average the inputs, element by element."""
    return reduce(torch.add, [call[i] for i in range(len(call.inputs))]) / len(call.inputs)


@operator("Div")
def divide(call: Call) -> torch.Tensor:
    """Divide; whole numbers are cut towards zero."""
    whole = not (call[0].is_floating_point() or call[1].is_floating_point())
    return torch.div(call[0], call[1], rounding_mode="trunc" if whole else None)


@operator("Mod", fmod=only(0, 1))
def modulo(call: Call) -> torch.Tensor:
    """What remains, with the sign of the divisor, or of the dividend for fmod."""
    return (torch.fmod if call.setting("fmod", 0) else torch.remainder)(call[0], call[1])


@operator("Elu", alpha=anything)
def elu(call: Call) -> torch.Tensor:
    """Exponential linear unit."""
    return F.elu(call[0], call.setting("alpha", 1.0))


@operator("Celu", alpha=anything)
def celu(call: Call) -> torch.Tensor:
    """Exponential linear unit that is smooth for every alpha."""
    return F.celu(call[0], call.setting("alpha", 1.0))


@operator("Selu", alpha=anything, gamma=anything)
def selu(call: Call) -> torch.Tensor:
    """Scaled exponential linear unit."""
    alpha, gamma = call.setting("alpha", 1.6732632), call.setting("gamma", 1.0507010)
    # What is not chosen must not overflow either, or its gradient would be NaN
    below = alpha * torch.expm1(call[0].clamp(max=0))
    chosen: torch.Tensor = gamma * torch.where(call[0] > 0, call[0], below)
    return chosen


@operator("LeakyRelu", alpha=anything)
def leaky_relu(call: Call) -> torch.Tensor:
    """Rectifier with a slope below zero."""
    return F.leaky_relu(call[0], call.setting("alpha", 0.01))


@operator("ThresholdedRelu", alpha=anything)
def thresholded_relu(call: Call) -> torch.Tensor:
    """Zero up to a threshold, the input above it."""
    return torch.where(call[0] > call.setting("alpha", 1.0), call[0], torch.zeros_like(call[0]))


@operator("HardSigmoid", alpha=anything, beta=anything)
def hard_sigmoid(call: Call) -> torch.Tensor:
    """A line that is cut at 0 and 1."""
    line: torch.Tensor = call.setting("alpha", 0.2) * call[0] + call.setting("beta", 0.5)
    return line.clamp(0, 1)


@operator("Gelu", approximate=only("none", "tanh"))
def gelu(call: Call) -> torch.Tensor:
    """Gaussian error linear unit."""
    return F.gelu(call[0], approximate=call.setting("approximate", "none"))


@operator("Swish", alpha=anything)
def swish(call: Call) -> torch.Tensor:
    """Sigmoid linear unit."""
    return call[0] * torch.sigmoid(call.setting("alpha", 1.0) * call[0])


@operator("Clip", min=anything, max=anything)
def clip(call: Call) -> torch.Tensor:
    """Cut at bounds, which are inputs or, in older files, attributes."""
    low, high = call.get(1), call.get(2)
    least = call.setting("min") if low is None else float(low)
    most = call.setting("max") if high is None else float(high)
    if least is None and most is None:
        return call[0]
    return call[0].clamp(least, most)


@operator("Cast", to=only(*TYPES), saturate=anything, round_mode=anything)
def cast(call: Call) -> torch.Tensor:
    """Change the type of the elements."""
    return call[0].to(TYPES[call.setting("to")])


@operator("CastLike", saturate=anything, round_mode=anything)
def cast_like(call: Call) -> torch.Tensor:
    """Change the type of the elements to that of another tensor."""
    return call[0].to(call[1].dtype)


@operator("Where")
def where(call: Call) -> torch.Tensor:
    """Choose element by element."""
    return torch.where(call[0].bool(), call[1], call[2])
