"""The channels of a network: where they are, multiplied by masks, cut, and how many to cut.

A channel is an output of a convolution, of a linear layer or of a batch normalisation. Where a
normalisation follows a layer directly, their channels are the same and the normalisation holds
them: to cut one is to zero its row of weights, so shapes never change.
Axes: k channels of a layer, b examples of a batch, c classes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from mithridate.core.data import Dataset
from mithridate.core.errors import MethodError
from mithridate.core.inference import accuracy, last_linear
from mithridate.core.view import View

MAKERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
TRIALS = 64  # groups of channels tried at most, each for one pass over the held-out examples


class Channels(NamedTuple):
    """Channels of one layer.

    Attributes:
        name: of the layer that holds them.
        layer: its weight has a row for each.
        maker: the convolution or linear layer that computes them, the same one or the one before a
            normalisation, or None.
    """

    name: str
    layer: nn.Module
    maker: nn.Module | None


def channels(model: nn.Module) -> list[Channels]:
    """Find the channels of every layer but the last linear one, whose outputs are the classes.

    A normalisation belongs to the layer before it where both have the same parent and as many
    channels.

    Raises:
        MethodError: where there is no such layer.
    """
    groups: dict[nn.Module, Channels] = {}
    head = last_linear(model)
    for parent_name, parent in model.named_modules():
        before: nn.Module | None = None
        for child, layer in parent.named_children():
            if not any(True for _ in layer.parameters()):
                continue
            name = f"{parent_name}.{child}" if parent_name else child
            if isinstance(layer, _BatchNorm) and layer.affine:
                made = before in groups and isinstance(before, MAKERS)
                paired = made and len(weight(before)) == layer.num_features
                groups[layer] = Channels(name, layer, before if paired else None)
                if paired and before is not None:
                    del groups[before]
            elif isinstance(layer, MAKERS) and layer is not head:
                groups[layer] = Channels(name, layer, layer)
            before = layer
    if not groups:
        raise MethodError(
            "this repair cuts channels of convolutions, of linear layers before the last one or of "
            "batch normalisations, and the model has none; use a repair that trains instead"
        )
    return list(groups.values())


def weight(layer: nn.Module | None) -> torch.Tensor:
    """Give the weights of a layer, float[k, ...]."""
    return cast(torch.Tensor, getattr(layer, "weight", torch.empty(0)))


def outliers(values: torch.Tensor, spread: float) -> torch.Tensor:
    """Tell which values float[k] exceed their mean by more than `spread` deviations, bool[k]."""
    return values > values.mean() + spread * values.std(correction=0)


def prune(model: nn.Module, dead: Mapping[str, torch.Tensor], shifts: bool = True) -> nn.Module:
    """Copy a model and zero the weights of the channels bool[k] of layers given by name.

    Args:
        shifts: whether their biases are zeroed as well; else a cut channel is constant.
    """
    cut = copy.deepcopy(model)
    layers = dict(cut.named_modules())
    with torch.no_grad():
        for name, where in dead.items():
            for kept in ("weight", "bias") if shifts else ("weight",):
                values = getattr(layers[name], kept, None)
                if isinstance(values, torch.Tensor):
                    values[where.to(values.device)] = 0
    return cut.eval()


class Masked(nn.Module):
    """A frozen copy of a network whose channels are multiplied by masks in [0, 1], first all 1.

    A mask multiplies the weights of its channel and leaves the bias alone.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(model).requires_grad_(False)
        self.groups = [group.name for group in channels(self.network)]
        layers = dict(self.network.named_modules())
        rows = [weight(layers[name]) for name in self.groups]
        self.masks = nn.ParameterList(torch.ones(len(row), device=row.device) for row in rows)

    def forward(
        self, batch: torch.Tensor, weights: Sequence[torch.Tensor] | None = None,
        biases: Sequence[torch.Tensor] | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Give logits[b, c] with masks, plus `weights`, on weights and 1 plus `biases` on biases.

        A step may have taken masks out of [0, 1]; they are put back to its border first, so that no
        loss is taken beyond it.

        Args:
            weights: float[k] for each layer, 0 by default.
            biases: float[k] for each layer, 0 by default.
        """
        self.project()
        changed = {}
        for number, name in enumerate(self.groups):
            layer = self.network.get_submodule(name)
            factor = self.masks[number] + (0 if weights is None else weights[number])
            rows = weight(layer)
            changed[f"{name}.weight"] = rows * factor.view(-1, *[1] * (rows.ndim - 1))
            bias = getattr(layer, "bias", None)
            if biases is not None and isinstance(bias, torch.Tensor):
                changed[f"{name}.bias"] = bias * (1 + biases[number])
        return cast(torch.Tensor, functional_call(self.network, changed, (batch,)))

    def project(self) -> None:
        """Put masks that a step has taken out of [0, 1] back to its border."""
        with torch.no_grad():
            for mask in self.masks:
                mask.clamp_(0, 1)

    def values(self) -> dict[str, torch.Tensor]:
        """Give the masks by the name of the layer, float[k] each, in [0, 1]."""
        masks = zip(self.groups, self.masks, strict=True)
        return {name: mask.detach().clamp(0, 1).cpu() for name, mask in masks}


def prune_deepest(
    view: View, held: Dataset, masks: Mapping[str, torch.Tensor], below: float, tolerance: float
) -> nn.Module:
    """Cut channels with small masks, as many as the held-out examples allow.

    Channels whose mask is less than `below` are tried in the order of their masks, in at most
    `TRIALS` groups; a group that takes the accuracy on `held` more than `tolerance` below the uncut
    model's is passed over. One channel that clean examples need would else end the cutting.
    """
    dead = {name: torch.zeros_like(mask, dtype=torch.bool) for name, mask in masks.items()}
    # a share of counts and its difference from another carry rounding
    least = accuracy(view.model, held, view.domain, view.runtime) - tolerance - 1e-9
    for group in smallest_first(masks, below):
        for name, place in group:
            dead[name][place] = True
        if accuracy(prune(view.model, dead, False), held, view.domain, view.runtime) < least:
            for name, place in group:
                dead[name][place] = False
    return prune(view.model, dead, shifts=False)


def smallest_first(masks: Mapping[str, torch.Tensor], below: float) -> list[list[tuple[str, int]]]:
    """Give the channels whose mask is less than `below`, smallest first, in equal groups."""
    candidates = [
        (value, name, place)
        for name, mask in masks.items()
        for place, value in enumerate(mask.tolist())
        if value < below
    ]
    ranked = [(name, place) for _, name, place in sorted(candidates)]
    size = max(1, -(-len(ranked) // TRIALS))
    return [ranked[start : start + size] for start in range(0, len(ranked), size)]
