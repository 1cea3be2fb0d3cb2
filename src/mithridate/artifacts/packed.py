"""Layers whose weights are held as integers and restored in the forward pass.

Axes: b inputs of a batch, o outputs of a layer, g groups of the inputs of an output.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.core.extras import import_extra, silence
from mithridate.core.quantisation import LAYERS, Grid, Integers

CONVOLUTIONS: dict[type[nn.Module], Callable[..., torch.Tensor]] = {
    nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d,
}  # fmt: skip


class Packed(nn.Module):
    """A linear or convolutional layer that holds integers; see `Grid`.

    Raises:
        MethodError: where the layer pads with anything but zeros.
    """

    def __init__(self, layer: nn.Module, grid: Grid) -> None:
        super().__init__()
        if getattr(layer, "padding_mode", "zeros") != "zeros":
            raise MethodError(
                f"only convolutions that pad with zeros are packed, found {layer}; deploy it at "
                "another precision"
            )
        self.grid = grid
        self.kind = next(kind for kind in LAYERS if isinstance(layer, kind))
        codes, scales = grid.rounded(cast(torch.Tensor, layer.weight))
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        bias = cast("torch.Tensor | None", layer.bias)
        kept = None if bias is None else nn.Parameter(bias.detach().clone())
        self.register_parameter("bias", kept)
        self.form = copy.deepcopy(layer).to("meta")  # its shape, strides and padding; no weights
        self._drop_weights()

    def _drop_weights(self) -> None:
        empty = {name: None for name, _ in self.form.named_parameters()}
        for name in empty:
            self.form.register_parameter(name, None)

    @property
    def weight(self) -> torch.Tensor:
        """The weight that the integers stand for, float32[o, ...]."""
        codes, scales = self.get_buffer("codes"), self.get_buffer("scales")
        return self.grid.restored(Integers(codes, scales))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Restore the weight and use it."""
        form, bias = cast(Any, self.form), self._parameters["bias"]
        if self.kind is nn.Linear:
            return F.linear(batch, self.weight, bias)
        return CONVOLUTIONS[self.kind](
            batch, self.weight, bias, form.stride, form.padding, form.dilation, form.groups
        )

    def twin(self) -> nn.Module:
        """Give the layer with the restored weight as floats."""
        layer = copy.deepcopy(self.form)
        layer.weight = nn.Parameter(self.weight)
        layer.register_parameter("bias", copy.deepcopy(self._parameters["bias"]))
        return layer


def pack_weights(model: nn.Module, grid: Grid) -> nn.Module:
    """Give a copy whose weights are integers: torchao's in linear layers, ours in convolutions.

    torchao has none for convolutions, and needs groups of equal sizes; where it does not apply,
    `Packed` does. Both round alike.

    Raises:
        MissingExtra: without torchao.
    """
    made = copy.deepcopy(model)
    for name, layer in list(made.named_modules()):
        if not isinstance(layer, LAYERS):
            continue
        if isinstance(layer, nn.Linear) and layer.in_features % (grid.group or 1) == 0:
            _pack_by_torchao(layer, grid)
        else:
            made = replace_layer(made, name, Packed(layer, grid))
    return made


def replace_layer(model: nn.Module, name: str, layer: nn.Module) -> nn.Module:
    """Put a layer in the place of another in a model; give the model, or the layer if it is all."""
    if not name:
        return layer
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, layer)
    return model


def _pack_by_torchao(layer: nn.Linear, grid: Grid) -> None:
    """Let torchao hold the weight of one layer."""
    ao = import_torchao()
    width = {4: vars(torch)["int4"], 8: torch.int8}.get(grid.bits)
    if width is None:
        raise MethodError(f"torchao holds 4 or 8 bits, found {grid.bits}")
    share = ao.PerGroup(grid.group) if grid.group else ao.PerAxis(0)
    with silence():
        ao.quantize_(layer, ao.IntxWeightOnlyConfig(weight_dtype=width, granularity=share))


def import_torchao() -> Any:
    """Import torchao's quantisation; raises MissingExtra where it is absent."""
    return import_extra(
        "torchao.quantization",
        "integer weights need torchao; install it with: pip install 'mithridate[quant]'",
    )
