"""A graph turned into steps: every node is judged, and what does not depend on inputs is computed.

Constant weights of convolutions and of matrix products become layers of torch, so that whoever
looks for layers finds them; see `weighing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from mithridate.artifacts.onnx import (  # noqa: F401  # each enters its operators into the table
    operators_elementwise,
    operators_integers,
    operators_layers,
    operators_reductions,
    operators_resize,
    operators_shapes,
)
from mithridate.artifacts.onnx.expanding import expanded
from mithridate.artifacts.onnx.operation import Operation
from mithridate.artifacts.onnx.reading import library
from mithridate.artifacts.onnx.table import OLDEST, OPERATORS, Call, admit, full_name
from mithridate.artifacts.onnx.weighing import absorb, layer
from mithridate.core.errors import CannotJudge

SMALL = {10: torch.float16, 11: torch.float64, 16: torch.bfloat16}
"""Types of inputs that hold floats of another size than is handed over."""

PACKED = (21, 22)
"""Four-bit whole numbers, which torch has no type for."""


@dataclass
class GraphPlan:
    """What an interpreter does: the steps, what is constant, and the layers by name of a weight.

    Attributes:
        kind: the type that inputs are turned into first, None where they stay as they are.
    """

    given: str
    answer: str
    opset: int
    batch: int
    steps: list[Operation]
    constants: dict[str, torch.Tensor]
    layers: dict[str, nn.Module]
    kind: torch.dtype | None = None


def _only_input(graph: Any, constants: dict[str, torch.Tensor]) -> Any:
    """Give the one input that is no constant; raises CannotJudge where there is not just one."""
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or graph.sparse_initializer:
        raise CannotJudge(
            f"expected one input and no sparse tensors, found {[v.name for v in inputs][:4]}"
        )
    return inputs[0]


def plan(model: Any, output: str = "") -> GraphPlan:
    """Plan a model of `read`; raises CannotJudge with what is not understood."""
    if model.functions:
        model = library("onnx.inliner").inline_local_functions(model)
    graph = model.graph
    constants = {tensor.name: constant(tensor) for tensor in graph.initializer}
    given = _only_input(graph, constants)
    answer = output or graph.output[0].name
    opset = _opset(model)
    steps = [_step(node, place) for place, node in _needed_nodes(graph.node, answer)]
    steps, layers = _fold_constants(
        _keep_real(expanded(steps, constants), constants), constants, opset
    )
    known = {given.name, *constants, *(name for step in steps for name in step.outputs)}
    if answer not in known:
        raise CannotJudge(f"the model computes no output {answer!r}")
    dims = given.type.tensor_type.shape.dim
    batch = dims[0].dim_value if len(dims) else 0
    used = {name for step in steps for name in step.inputs} | {answer}
    kept = {name: value for name, value in constants.items() if name in used}
    kind = SMALL.get(given.type.tensor_type.elem_type)
    return GraphPlan(
        given.name, answer, opset, batch, _note_last_uses(steps, answer), kept, layers, kind
    )


def _opset(model: Any) -> int:
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions or versions[0] < OLDEST:
        raise CannotJudge(
            f"expected operators of version {OLDEST} or later, found {versions or 'none'}; convert "
            "the file with onnx.version_converter"
        )
    return int(versions[0])


def constant(tensor: Any) -> torch.Tensor:
    """Turn a tensor of a file into one of torch; raises CannotJudge for types that have none."""
    onnx = library("onnx")
    try:
        array = onnx.numpy_helper.to_array(tensor)
        if tensor.data_type in PACKED:  # floats, so that nobody takes their range from their type
            return torch.from_numpy(array.astype(np.float32))
        if tensor.data_type == onnx.TensorProto.BFLOAT16:
            return torch.from_numpy(array.astype(np.float32)).bfloat16()
        return torch.from_numpy(np.array(array))
    except Exception as error:
        raise CannotJudge(
            f"the tensor {tensor.name!r} of type {tensor.data_type} cannot be used: "
            f"{str(error)[:200]}"
        ) from None


def _step(node: Any, place: int) -> Operation:
    """Admit a node, or raise CannotJudge."""
    onnx = library("onnx")
    where = f"node {node.name or place!r}"
    attributes = {a.name: _value(a, onnx) for a in node.attribute}
    outputs = list(node.output)
    while outputs and not outputs[-1]:
        outputs.pop()
    name = full_name(node.op_type, node.domain)
    if name != "Constant":
        admit(name, attributes, len(outputs), where)
    return Operation(name, tuple(node.input), tuple(outputs), attributes, where)


def _value(attribute: Any, onnx: Any) -> Any:
    kinds = onnx.AttributeProto
    if attribute.type == kinds.TENSOR:
        return constant(attribute.t)
    value = onnx.helper.get_attribute_value(attribute)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _needed_nodes(nodes: Sequence[Any], answer: str) -> list[tuple[int, Any]]:
    """Leave out what the answer does not depend on; nodes keep their numbers."""
    wanted, kept = {answer}, []
    for place, node in reversed(list(enumerate(nodes))):
        if wanted & set(node.output):
            wanted |= set(node.input) - {""}
            kept.append((place, node))
    return kept[::-1]


def _takers(steps: list[Operation]) -> dict[str, set[str]]:
    """Say who takes each value, as the operator and the place of the input."""
    takers: dict[str, set[str]] = {}
    for step in steps:
        for place, name in enumerate(step.inputs):
            takers.setdefault(name, set()).add(f"{step.operator} {place}")
    return takers


def _keep_real(steps: list[Operation], constants: dict[str, torch.Tensor]) -> list[Operation]:
    """Let dynamic quantisation give real numbers, of scale 1 and zero point 0, where that is safe.

    What a product of whole numbers and its scales then give is the same, and layers see real units.
    """
    takers = _takers(steps)
    whole = {"MatMulInteger 0", "ConvInteger 0", "DequantizeLinear 0"}
    allowed = (
        whole,
        {"Mul 0", "Mul 1", "DequantizeLinear 1"},
        {"MatMulInteger 2", "ConvInteger 2", "DequantizeLinear 2"},
    )
    kept = []
    for step in steps:
        safe = step.operator == "DynamicQuantizeLinear" and all(
            takers.get(name, set()) <= kinds
            for name, kinds in zip(step.outputs, allowed, strict=False)
        )
        if safe:
            scale, zero = (*step.outputs[1:], "", "")[:2]
            constants.update({scale: torch.tensor(1.0), zero: torch.tensor(0.0)})
            step = replace(step, operator="dynamic and back", outputs=step.outputs[:1])
        kept.append(step)
    return kept


def _fold_constants(
    steps: list[Operation], constants: dict[str, torch.Tensor], opset: int
) -> tuple[list[Operation], dict[str, nn.Module]]:
    """Compute what is constant, and turn constant weights into layers."""
    left: list[Operation] = []
    layers: dict[str, nn.Module] = {}
    uses = _uses(steps)
    for step in steps:
        if all(not name or name in constants for name in step.inputs):
            values = _compute_once(step, constants, opset)
            constants.update(zip(step.outputs, values, strict=False))
            continue
        merged = absorb(step, left, layers, constants, uses)
        if merged is not None:
            left[merged[0]] = merged[1]
            continue
        left.append(_with_layer(step, constants, layers))
    return left, layers


def _with_layer(
    step: Operation, constants: dict[str, torch.Tensor], layers: dict[str, nn.Module]
) -> Operation:
    """Turn the constant weights of a step into one of `layers`, where it has such weights."""
    try:
        made = layer(step, constants)
    except Exception as error:  # sizes of a hostile file that fit nowhere
        raise _failure(step, list(step.inputs), error) from error
    if made is None:
        return step
    key = step.inputs[1] if step.inputs[1] not in layers else step.outputs[0]
    layers[key] = made
    return replace(step, layer=key, inputs=step.inputs[:1])


def _uses(steps: list[Operation]) -> dict[str, int]:
    uses: dict[str, int] = {}
    for step in steps:
        for name in step.inputs:
            uses[name] = uses.get(name, 0) + 1
    return uses


def _compute_once(
    step: Operation, constants: dict[str, torch.Tensor], opset: int
) -> list[torch.Tensor]:
    """Compute a node that depends on no input."""
    if step.operator == "Constant":
        return [_constant_value(step)]
    inputs = [constants[name] if name else None for name in step.inputs]
    with torch.no_grad():
        return run(step, Call(inputs, step.attributes, opset, len(step.outputs)))


def _constant_value(step: Operation) -> torch.Tensor:
    """The value of a constant node."""
    (name, value), *_ = [*step.attributes.items(), ("nothing", None)]
    if name == "value":
        return torch.as_tensor(value)
    if name in ("value_float", "value_floats"):
        return torch.tensor(value, dtype=torch.float32)
    if name in ("value_int", "value_ints"):
        return torch.tensor(value, dtype=torch.int64)
    raise CannotJudge(f"the constant of {step.where} is given as {name!r}, which is not understood")


def run(step: Operation, call: Call) -> list[torch.Tensor]:
    """Compute a node; raises CannotJudge with its name where that fails."""
    try:
        outputs = OPERATORS[step.operator].function(call)
    except Exception as error:  # whatever a hostile file asks of torch
        shapes = [None if value is None else list(value.shape) for value in call.inputs]
        raise _failure(step, shapes, error) from error
    return [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)


def run_layer(step: Operation, made: nn.Module, given: torch.Tensor) -> list[torch.Tensor]:
    """Compute a node whose weights are a layer; raises CannotJudge where that fails."""
    try:
        return [made(given)]
    except Exception as error:
        raise _failure(step, [list(given.shape)], error) from error


def _failure(step: Operation, inputs: Any, error: Exception) -> CannotJudge:
    return CannotJudge(
        f"{step.operator!r} in {step.where} cannot be computed on {inputs}: {str(error)[:300]}"
    )


def _note_last_uses(steps: list[Operation], answer: str) -> list[Operation]:
    """Note at each step which tensors are not needed after it."""
    seen, noted = {answer}, []
    for step in reversed(steps):
        last = tuple(name for name in {*step.inputs, *step.outputs} - seen if name)
        seen |= set(step.inputs)
        noted.append(replace(step, last=last))
    return noted[::-1]
