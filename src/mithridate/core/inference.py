"""What a trained network makes of inputs: features, logits, predicted classes, accuracy.

Axes: n examples, c classes, d features.
"""

from __future__ import annotations

import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.runtime import Runtime


def last_linear(model: nn.Module) -> nn.Linear:
    """Find the layer whose inputs are the model's features: the last linear one."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise MethodError(
            "the model has no linear layer, so its features cannot be found; "
            "give them to the view instead: View(features=...)"
        )
    return layers[-1]


def feature_layer(model: nn.Module) -> nn.Module:
    """Find the layer whose inputs are the features: the last linear one, or what a model says."""
    layer = getattr(model, "feature_layer", None)
    return layer if isinstance(layer, nn.Module) else last_linear(model)


def forward(
    model: nn.Module, prepared: torch.Tensor, runtime: Runtime, layer: nn.Module | None = None,
    precision: str = "bf16",
) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    """Run a model over prepared inputs[n, ...] in evaluation mode.

    Returns the inputs of `layer` (by default of `feature_layer`), flattened, float32[n, d], and the
    logits, float32[n, c]. The model's mode is restored.

    Args:
        precision: "bf16" or "fp32" arithmetic.

    Raises:
        MethodError: where the data set is empty or the model has no linear layer.
    """
    features: list[torch.Tensor] = []

    def keep(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        features.append(arguments[0].detach().flatten(1).float().cpu())

    hook = (layer or feature_layer(model)).register_forward_pre_hook(keep)
    try:
        logits = logits_of(model, prepared, runtime, precision)
    finally:
        hook.remove()
    return torch.cat(features), logits


def logits_of(
    model: nn.Module, prepared: torch.Tensor, runtime: Runtime, precision: str = "bf16"
) -> torch.Tensor:
    """Give the logits of prepared inputs[n, ...] in evaluation mode, float32[n, c]; see `forward`.

    Any module will do, whatever its layers are.

    Raises:
        MethodError: where the data set is empty.
    """
    if not len(prepared):
        raise MethodError("there is nothing to run the model on: the data set is empty")
    was_training = model.training
    model.eval().to(runtime.device)
    try:
        with runtime.active(), torch.inference_mode(), autocast(runtime.device, precision):
            logits = [
                model(batch.to(runtime.device)).float().cpu()
                for batch in prepared.split(runtime.batch_size)
            ]
    finally:
        model.train(was_training)
    return torch.cat(logits)


def features_of(model: nn.Module, prepared: torch.Tensor) -> torch.Tensor:
    """Give the inputs of the last linear layer, differentiable by prepared inputs, float[n, d]."""
    seen: list[torch.Tensor] = []
    hook = last_linear(model).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        model(prepared)
    finally:
        hook.remove()
    return seen[0].flatten(1)


def autocast(device: str, precision: str = "bf16") -> torch.autocast:
    """Give the arithmetic of a named precision, "bf16" or "fp32", on a device."""
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16")


def predict(
    model: nn.Module, prepared: torch.Tensor, runtime: Runtime, precision: str = "bf16"
) -> torch.Tensor:
    """Give the class of the largest logit of prepared inputs[n, ...], int64[n]; see `logits_of`."""
    return logits_of(model, prepared, runtime, precision).argmax(1)


def correct(
    model: nn.Module,
    data: Dataset,
    domain: Domain,
    runtime: Runtime | None = None,
    precision: str = "bf16",
) -> torch.Tensor:
    """Tell which examples are predicted as their label, bool[n].

    Raises:
        MethodError: where there is no example.
    """
    prepared = domain.prepare(data.inputs)
    return predict(model, prepared, runtime or Runtime(), precision) == data.labels


def accuracy(
    model: nn.Module,
    data: Dataset,
    domain: Domain,
    runtime: Runtime | None = None,
    precision: str = "bf16",
) -> float:
    """Give the share of examples that are predicted as their label, in [0, 1]; see `correct`."""
    return float(correct(model, data, domain, runtime, precision).double().mean())
