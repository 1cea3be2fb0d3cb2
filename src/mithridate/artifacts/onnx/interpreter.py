"""A differentiable twin of a model file, in torch.

Axes: n examples, c classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from mithridate.artifacts.onnx.operation import Operation
from mithridate.artifacts.onnx.planning import GraphPlan, plan, run, run_layer
from mithridate.artifacts.onnx.reading import read
from mithridate.artifacts.onnx.runtime import ask_in_batches
from mithridate.artifacts.onnx.table import Call
from mithridate.core.errors import CannotJudge
from mithridate.core.quantisation import Rounder

AGREE = 0.95
"""Of the inputs, at least so many must be called alike by a file and its twin."""
SCALES = ("QuantizeLinear", "DequantizeLinear")


class Interpreter(Rounder):
    """A model file computed by torch, differentiable: prepared inputs[n, ...] in, float[n, c] out.

    Constant weights are real layers: nn.Conv2d and nn.Linear, the last of which takes the features;
    `names` says under which name of the state dict a tensor of the file is found. Quantised weights
    are dequantised once; quantised activations are rounded and clipped, and the derivative is that
    of the clipping alone. It is always in evaluation mode. Inputs that the file takes as bytes may
    be floats, and are then not rounded.

    Args:
        model: a path, or what `read` gave.
        adapter: what inputs pass first.
        output: the name of the logits, by default the first output.

    Raises:
        CannotJudge: with the name of an operator or attribute that it does not understand, before
            anything runs, and with that of a node that cannot be computed.
    """

    def __init__(self, model: Any, adapter: nn.Module | None = None, output: str = "") -> None:
        super().__init__()
        proto = read(model) if isinstance(model, str | Path) else model
        made = plan(proto, output)
        self.adapter = adapter or nn.Identity()
        self.names: dict[str, str] = {}
        self._constants: dict[str, str] = {}
        self._layers: dict[str, str] = {}
        self._steps, self._given, self._answer = made.steps, made.given, made.answer
        self._opset, self._batch, self._kind = made.opset, made.batch, made.kind
        for name in _order_of_use(made):
            self._register(name, made)
        self.eval()

    def _register(self, name: str, made: GraphPlan) -> None:
        """Give a layer or a constant its place; names with dots are not allowed by torch."""
        key = name.removesuffix("_DequantizeLinear_Output").removesuffix("_quantized")
        key = key.removesuffix(".weight") if name in made.layers else name
        key = key.replace(".", "_") or "_"
        while hasattr(self, key):
            key += "_"
        if name in made.layers:
            self.add_module(key, made.layers[name])
            self._layers[name], self.names[name] = key, f"{key}.weight"
            return
        value = made.constants[name]
        scales = {n for step in made.steps if step.operator in SCALES for n in step.inputs[1:]}
        if value.is_floating_point() and value.numel() > 1 and name not in scales:
            self.register_parameter(key, nn.Parameter(value.detach().clone()))
        else:
            self.register_buffer(key, value.detach().clone())
        self._constants[name] = self.names[name] = key

    def train(self, mode: bool = True) -> Interpreter:
        """Stay in evaluation mode: what the file says of normalisation holds."""
        return super().train(False)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Answer, in batches of the size that the file is made for."""
        return ask_in_batches(self.adapter(batch), self._batch, self._ask)

    def _ask(self, batch: torch.Tensor) -> torch.Tensor:
        values = {self._given: batch if self._kind is None else batch.to(self._kind)}
        for step in self._steps:
            values.update(zip(step.outputs, self._run(step, values, len(batch)), strict=False))
            for name in step.last:
                values.pop(name, None)
        answer = values[self._answer] if self._answer in values else self._constant(self._answer)
        return answer.flatten(1)

    def _run(
        self, step: Operation, values: dict[str, torch.Tensor], batch: int
    ) -> list[torch.Tensor]:
        if step.layer:
            made = self.get_submodule(self._layers[step.layer])
            return run_layer(step, made, values[step.inputs[0]])
        inputs = [self._find(name, values) for name in step.inputs]
        call = Call(inputs, step.attributes, self._opset, len(step.outputs), batch, self.clips)
        return run(step, call)

    def _find(self, name: str, values: dict[str, torch.Tensor]) -> torch.Tensor | None:
        if not name:
            return None
        return values[name] if name in values else self._constant(name)

    def _constant(self, name: str) -> torch.Tensor:
        constant: torch.Tensor = getattr(self, self._constants[name])
        return constant


def check_twin(session: nn.Module, twin: nn.Module, prepared: torch.Tensor) -> float:
    """Compare what a file and its twin call prepared inputs[n, ...]: the share that is equal.

    Raises:
        CannotJudge: below `AGREE`: what is found in the twin says nothing of the file then.
    """
    with torch.inference_mode():
        same = session(prepared).argmax(1) == twin(prepared).argmax(1)
    share = float(same.float().mean())
    if share < AGREE:
        raise CannotJudge(
            f"the twin calls {share:.3f} of {len(same)} inputs as the file does, {AGREE} are "
            "needed; use methods without gradients on the session instead"
        )
    return share


def _order_of_use(made: GraphPlan) -> list[str]:
    """Layers and constants in the order in which they are used, so that the last layer is last."""
    names: dict[str, None] = {}
    for step in made.steps:
        for name in (step.layer, *step.inputs):
            if name in made.layers or name in made.constants:
                names[name] = None
    for name in made.constants:
        names[name] = None
    return list(names)
