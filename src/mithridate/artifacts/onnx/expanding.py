"""Operators that take quantised numbers at once, taken apart: dequantise, compute, quantise.

So their weights become layers of torch like all others. ONNX Runtime computes the same in whole
numbers, and rounds where the twin rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from mithridate.artifacts.onnx.operation import Operation
from mithridate.artifacts.onnx.operators_layers import PADS
from mithridate.artifacts.onnx.table import Call, anything, check_shape, only, operator
from mithridate.core.errors import CannotJudge

Constants = dict[str, torch.Tensor]
Expansion = Callable[[Operation, Constants], list[Operation]]
EXPANSIONS: dict[str, Expansion] = {}
"""By full name of the operator, what stands for a node."""

LAST = "_DequantizeLinear_Output"
"""How quantisers call what they dequantise, so that weights keep their names."""


def _enter(*names: str, **allowed: Any) -> Callable[[Expansion], Expansion]:
    """Enter an expansion into the tables, with the attributes that it understands."""

    def enter(expansion: Expansion) -> Expansion:
        for name in names:
            EXPANSIONS[name] = expansion
            operator(name, **allowed)(_alone)
        return expansion

    return enter


def _alone(call: Call) -> torch.Tensor:
    raise ValueError("it is taken apart before anything is computed")


def expanded(steps: list[Operation], constants: Constants) -> list[Operation]:
    """Take apart what has an expansion; raises CannotJudge where that is not possible."""
    simple: list[Operation] = []
    for step in steps:
        expansion = EXPANSIONS.get(step.operator)
        if expansion is None:
            simple.append(step)
            continue
        try:
            simple += expansion(step, constants)
        except CannotJudge:
            raise
        except Exception as error:  # sizes of a hostile file that fit nowhere
            raise CannotJudge(
                f"{step.operator!r} in {step.where} cannot be taken apart: {str(error)[:300]}"
            ) from error
    return simple


def _given(step: Operation, place: int) -> str:
    return step.inputs[place] if place < len(step.inputs) else ""


def _real(step: Operation, first: int, axis: int = 1) -> Operation:
    """Dequantise an input that is followed by its scale and zero point."""
    inputs = tuple(_given(step, first + more) for more in range(3))
    output = f"{inputs[0]}{LAST}" if inputs[0].endswith("_quantized") else ""
    output = output or f"{inputs[0]}:{step.outputs[0]}:{first}"
    return Operation("DequantizeLinear", inputs, (output,), {"axis": axis}, step.where)


def _apart(
    step: Operation,
    parts: list[Operation],
    name: str,
    places: tuple[int, int],
    attributes: Mapping[str, Any] | None = None,
    more: tuple[str, ...] = (),
) -> list[Operation]:
    """Compute with what was dequantised, and quantise to the scale and zero point at two places."""
    given = tuple(part.outputs[0] for part in parts) + more
    scale, zero = (_given(step, place) for place in places)
    told = step.attributes if attributes is None else attributes
    if not scale:
        return [*parts, Operation(name, given, step.outputs, told, step.where)]
    middle = f"{step.outputs[0]}:real"
    return [
        *parts,
        Operation(name, given, (middle,), told, step.where),
        Operation("QuantizeLinear", (middle, scale, zero), step.outputs, {}, step.where),
    ]


def _bias(step: Operation, place: int, scales: tuple[int, int], constants: Constants) -> str:
    """Give the name of a bias as floats; its unit is the product of two scales. "" without one."""
    name = _given(step, place)
    if not name:
        return ""
    if name not in constants or any(step.inputs[each] not in constants for each in scales):
        raise ValueError("its bias or scales are no constants")
    first, second = (constants[step.inputs[each]].float() for each in scales)
    made = f"{name}:{step.outputs[0]}"
    constants[made] = constants[name].float() * first * second.flatten()
    return made


SPACE = {
    "auto_pad": PADS, "dilations": anything, "group": anything, "kernel_shape": anything,
    "pads": anything, "strides": anything,
}  # fmt: skip


@_enter("QLinearConv", **SPACE)
def _convolution(step: Operation, constants: Constants) -> list[Operation]:
    bias = _bias(step, 8, (1, 4), constants)
    parts = [_real(step, 0), _real(step, 3, axis=0)]
    return _apart(step, parts, "Conv", (6, 7), more=(bias,) if bias else ())


@_enter("QLinearMatMul", "com.microsoft.QLinearMatMul")
def _product(step: Operation, constants: Constants) -> list[Operation]:
    return _apart(step, [_real(step, 0), _real(step, 3, axis=-1)], "MatMul", (6, 7))


@_enter("com.microsoft.QGemm", transA=only(0), transB=only(0, 1), alpha=only(1.0))
def _general_product(step: Operation, constants: Constants) -> list[Operation]:
    bias = _bias(step, 6, (1, 4), constants)
    across = 0 if step.attributes.get("transB", 0) else 1
    parts = [_real(step, 0), _real(step, 3, axis=across)]
    return _apart(step, parts, "Gemm", (7, 8), more=(bias,) if bias else ())


@_enter("com.microsoft.QLinearAdd", "com.microsoft.QLinearMul")
def _pair(step: Operation, constants: Constants) -> list[Operation]:
    name = step.operator.rpartition("QLinear")[2]
    return _apart(step, [_real(step, 0), _real(step, 3)], name, (6, 7), {})


@_enter("com.microsoft.QLinearSigmoid")
def _sigmoid(step: Operation, constants: Constants) -> list[Operation]:
    return _apart(step, [_real(step, 0)], "Sigmoid", (3, 4))


@_enter("com.microsoft.QLinearLeakyRelu", alpha=anything)
def _leaky(step: Operation, constants: Constants) -> list[Operation]:
    return _apart(step, [_real(step, 0)], "LeakyRelu", (3, 4))


@_enter("com.microsoft.QLinearGlobalAveragePool", channels_last=only(0))
def _global_mean(step: Operation, constants: Constants) -> list[Operation]:
    return _apart(step, [_real(step, 0)], "GlobalAveragePool", (3, 4), {})


@_enter("com.microsoft.QLinearAveragePool", channels_last=only(0), ceil_mode=anything,
        count_include_pad=anything, auto_pad=PADS, kernel_shape=anything, pads=anything,
        strides=anything)  # fmt: skip
def _mean(step: Operation, constants: Constants) -> list[Operation]:
    told = {key: value for key, value in step.attributes.items() if key != "channels_last"}
    return _apart(step, [_real(step, 0)], "AveragePool", (3, 4), told)


@_enter("com.microsoft.QLinearConcat", axis=anything)
def _joined(step: Operation, constants: Constants) -> list[Operation]:
    parts = [_real(step, first) for first in range(2, len(step.inputs), 3)]
    return _apart(step, parts, "Concat", (0, 1))


@_enter("com.microsoft.QLinearSoftmax", axis=anything, opset=lambda version: version >= 13)
def _shares(step: Operation, constants: Constants) -> list[Operation]:
    told = {"axis": step.attributes.get("axis", -1)}
    return _apart(step, [_real(step, 0)], "Softmax", (3, 4), told)


@_enter("com.microsoft.MatMulNBits", K=anything, N=anything, bits=only(2, 4, 8),
        block_size=anything, accuracy_level=anything, weight_prepacked=only(0))  # fmt: skip
def _few_bits(step: Operation, constants: Constants) -> list[Operation]:
    """Unpack the weights; what the runtime rounds of activations beside them is left out."""
    if _given(step, 4):
        raise CannotJudge(f"groups out of order in {step.where} are not understood")
    weight = f"{step.inputs[1]}:{step.outputs[0]}"
    constants[weight] = _unpacked(step, constants).T.contiguous()
    bias, middle = _given(step, 5), f"{step.outputs[0]}:product"
    if not bias:
        return [Operation("MatMul", (step.inputs[0], weight), step.outputs, {}, step.where)]
    return [
        Operation("MatMul", (step.inputs[0], weight), (middle,), {}, step.where),
        Operation("Add", (middle, bias), step.outputs, {}, step.where),
    ]


def _unpacked(step: Operation, constants: Constants) -> torch.Tensor:
    """The weight float[N, K] of packed whole numbers, by blocks along K with a scale each."""
    rows, inner, block = (int(step.attributes[name]) for name in ("N", "K", "block_size"))
    bits = int(step.attributes.get("bits", 4))
    check_shape([rows, inner])
    if min(rows, inner, block) < 1 or block * bits % 8:
        raise ValueError(f"weights of {rows} x {inner} in blocks of {block} are none")
    blocks = -(-inner // block)
    packed = constants[step.inputs[1]]
    if packed.numel() != rows * blocks * (block * bits // 8):
        raise ValueError(f"{packed.numel()} bytes of weights do not fill {rows} x {inner}")
    codes = _bits(packed, bits).view(rows, blocks, block)
    scales = constants[step.inputs[2]].float().view(rows, blocks, 1)
    zero: torch.Tensor = torch.tensor(float(1 << (bits - 1)))
    if _given(step, 3):
        given = constants[step.inputs[3]]
        if not given.is_floating_point():
            given = _bits(given, bits).view(rows, -1)[:, :blocks]
        zero = given.float().reshape(rows, blocks, 1)
    return ((codes - zero) * scales).reshape(rows, -1)[:, :inner]


def _bits(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """Take bytes apart into numbers of a few bits, the lowest first, as floats."""
    if packed.dtype is not torch.uint8:
        raise ValueError(f"expected bytes, found {packed.dtype}")
    shifts = torch.arange(0, 8, bits)
    return ((packed.flatten().int()[:, None] >> shifts) & ((1 << bits) - 1)).flatten().float()
