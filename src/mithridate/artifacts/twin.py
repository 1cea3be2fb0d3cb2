"""Differentiable twins of quantised models: the same answers, by floats that have gradients.

Axes: n inputs.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import fx, nn

from mithridate.artifacts.packed import replace_layer
from mithridate.core.errors import CannotJudge
from mithridate.core.quantisation import Rounder

ranged: Callable[..., tuple[float, int]] = vars(torch)["_choose_qparams_per_tensor"]
"""Torch's own choice of a scale and a zero point, which has no public name."""
RANGES = {torch.quint8: (0, 255), torch.qint8: (-128, 127)}
"""The integers of activations by the type of torch.ao."""


class OnRange(nn.Module):
    """Rounds activations as a dynamic layer does: to 7 bits of the range of the batch.

    So the answer to an input depends on its neighbours, in the twin as in the artefact.
    """

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Round."""
        values = values.float()
        scale, zero = ranged(values.detach(), reduce_range=True)
        return round_to_grid(values, scale, zero)


class OnGrid(Rounder):
    """Rounds activations to the integers of a quantised layer and lets gradients pass.

    A value beyond the range is clipped and has no gradient, as it has none in truth.
    """

    def __init__(self, scale: float, zero: int, dtype: torch.dtype = torch.quint8) -> None:
        super().__init__()
        self.scale, self.zero, self.dtype = scale, zero, dtype

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Round."""
        return round_to_grid(values, self.scale, self.zero, self.dtype, clips=self.clips)


def round_to_grid(
    values: torch.Tensor, scale: Any, zero: Any, dtype: torch.dtype = torch.quint8, *,
    clips: bool = True,
) -> torch.Tensor:  # fmt: skip
    """Round to integers of a scale and a zero point, with straight-through gradients.

    Args:
        clips: as a `Rounder` does; what is not clipped is not rounded either.
    """
    lowest, highest = RANGES[dtype]
    if not clips:
        return values.float().clamp_min(0) if int(zero) == lowest else values.float()
    rounded: torch.Tensor = torch.fake_quantize_per_tensor_affine(
        values.float(), float(scale), int(zero), lowest, highest
    )
    return rounded


class OnGridAfter(Rounder):
    """A function of a quantised graph: computes with floats, then rounds to a scale and a zero."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *given: Any) -> torch.Tensor:
        """Compute and round; the last two are the scale and the zero point."""
        *values, scale, zero = given
        return round_to_grid(self.function(*values), scale, zero, clips=self.clips)


class OnGridGiven(Rounder):
    """Rounds to a scale, a zero point and a type that come with the values."""

    def forward(self, values: torch.Tensor, *grid: Any) -> torch.Tensor:
        """Round."""
        return round_to_grid(values, *grid, clips=self.clips)


def _add_rectified(first: Any, second: Any) -> torch.Tensor:
    return cast(torch.Tensor, (first + second).relu())


def _join(parts: Any, axis: Any) -> torch.Tensor:
    return torch.cat(list(parts), axis)


def _twin_of_functions() -> dict[object, Rounder]:
    """What stands for the functions of quantised graphs."""
    ops = torch.ops.quantized
    return {
        torch.quantize_per_tensor: OnGridGiven(), ops.add: OnGridAfter(operator.add),
        ops.add_relu: OnGridAfter(_add_rectified), ops.mul: OnGridAfter(operator.mul),
        ops.cat: OnGridAfter(_join),
    }  # fmt: skip


def twin_of(model: nn.Module) -> nn.Module:
    """Give a differentiable float copy of a quantised model; one that is not quantised is copied.

    Known are the integer weights of this library and of torchao, dynamic linear layers and static
    graphs (FX) of torch.ao, and each module that gives its own twin by a method `twin()`. What
    torch.ao rounds between layers is rounded here with straight-through gradients.

    Raises:
        CannotJudge: for a quantised layer or function that is not known.
    """
    made: nn.Module = copy.deepcopy(model).eval()
    for name, layer in list(made.named_modules()):
        twin = _twin_of_layer(name, layer)
        if twin is not None:
            made = replace_layer(made, name, twin.train(False))
    for part in made.modules():
        if isinstance(part, fx.GraphModule):
            _rewrite(part)
    return made


def _twin_of_layer(name: str, layer: nn.Module) -> nn.Module | None:
    """Give the twin of one layer; None where the layer may stay."""
    own = getattr(layer, "twin", None)
    if callable(own):
        return cast(nn.Module, own())
    home = type(layer).__module__
    if home.startswith(("torch.ao.nn", "torch.nn.quantized", "torch.nn.intrinsic.quantized")):
        if _holds_packed_weights(layer):
            return None  # inside a layer that is replaced as a whole
        return _twin_of_torch_ao(name, layer)
    for label, weight in list(layer.named_parameters(recurse=False)):
        if type(weight.data).__module__.startswith("torchao"):
            setattr(layer, label, nn.Parameter(cast(Any, weight.data).dequantize().float()))
        elif weight.dtype is torch.bfloat16:
            setattr(layer, label, nn.Parameter(weight.detach().float()))
    return None


def _holds_packed_weights(layer: nn.Module) -> bool:
    return type(layer).__name__ == "LinearPackedParams"


def _twin_of_torch_ao(name: str, layer: Any) -> nn.Module:
    """Give the twin of a layer of torch.ao, by the name of its class and by what it holds."""
    kind, dynamic = type(layer).__name__, "dynamic" in type(layer).__module__
    if kind == "Quantize":
        return OnGrid(float(layer.scale), int(layer.zero_point), layer.dtype)
    if kind == "DeQuantize":
        return nn.Identity()
    plain = kind.replace("ReLU", "").replace("BN2d", "BatchNorm2d")
    if plain not in PLAIN:
        raise CannotJudge(
            f"no differentiable twin is known of the quantised layer {name!r} ({kind} of "
            f"{type(layer).__module__}); use a method without gradients"
        )
    parts: list[nn.Module] = [OnRange()] if dynamic else []
    parts.append(PLAIN[plain](layer))
    parts += [nn.ReLU()] if "ReLU" in kind else []
    parts += [] if dynamic else [OnGrid(float(layer.scale), int(layer.zero_point))]
    return nn.Sequential(*parts) if len(parts) > 1 else parts[0]


def _linear(layer: Any) -> nn.Module:
    """Give the float layer of a packed one, whose `weight` and `bias` are methods."""
    outputs, inputs = layer.weight().shape
    return _fill(nn.Linear(inputs, outputs, device="meta"), layer.weight(), layer.bias())


def _convolution(kind: type[nn.Module], layer: Any) -> nn.Module:
    form = cast(Any, kind)(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding,
        layer.dilation, layer.groups, padding_mode=layer.padding_mode, device="meta",
    )  # fmt: skip
    return _fill(form, layer.weight(), layer.bias())


def _fill(form: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
    form.weight = nn.Parameter(weight.dequantize().detach().float())
    form.bias = None if bias is None else nn.Parameter(bias.detach().float())
    return cast(nn.Module, form)


def _normalisation(layer: Any) -> nn.Module:
    """These hold floats as they are, and only round what they give."""
    if isinstance(layer, nn.LayerNorm):
        form: nn.Module = nn.LayerNorm(layer.normalized_shape, layer.eps)
    else:
        form = nn.BatchNorm2d(layer.num_features, layer.eps)
    known = form.state_dict()
    form.load_state_dict(known | {k: v for k, v in layer.state_dict().items() if k in known})
    return form


PLAIN: dict[str, Callable[[Any], nn.Module]] = {
    "Linear": _linear,
    "Conv1d": partial(_convolution, nn.Conv1d),
    "Conv2d": partial(_convolution, nn.Conv2d),
    "Conv3d": partial(_convolution, nn.Conv3d),
    "BatchNorm2d": _normalisation,
    "LayerNorm": _normalisation,
}
"""What makes the float layer of one of torch.ao, by the name of its class but for a rectifier."""


def _rewrite(part: fx.GraphModule) -> None:
    """Let floats stand for the functions of a quantised graph.

    Raises:
        CannotJudge: for one that is not known; pooling and the like work on floats as they are.
    """
    known = _twin_of_functions()
    for node in list(part.graph.nodes):
        if node.op == "call_method" and node.target == "dequantize":
            node.replace_all_uses_with(node.args[0])
            part.graph.erase_node(node)
        if node.op != "call_function":
            continue
        if node.target in known and len(node.args) == 4:
            name = f"rounded_{node.name}"
            part.add_submodule(name, copy.deepcopy(known[node.target]))
            node.op, node.target = "call_module", name
        elif "quantized" in str(getattr(node.target, "__module__", "")) + str(node.target):
            raise CannotJudge(
                f"no differentiable twin is known of the quantised function {node.target}; use a "
                "method without gradients"
            )
    part.recompile()
