"""Where the weights of a network stand in a user's file, so that they come back as they were."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mithridate.artifacts.inspect import inspect_file
from mithridate.artifacts.opening import open_parts
from mithridate.artifacts.parts import BESIDE, chosen, fits
from mithridate.domains.elsewhere import Elsewhere


@dataclass(frozen=True, eq=False)
class WeightsPlace:
    """How a file names the weights of a network, and what it keeps beside them.

    States of optimisers and other networks are not kept: they belong to the weights before.

    Attributes:
        part: The path to the group of tensors, "" for the top.
        prefix: What stands before the names, such as "module.".
        kinds: Of floats that are not float32, by the network's own names.
        beside: What training keeps with a network: buffers of a loss, counters.
        of_torch: Whether the file is one of torch.

    """

    part: str = ""
    prefix: str = ""
    kinds: Mapping[str, torch.dtype] = field(default_factory=dict)
    beside: Mapping[str, torch.Tensor] = field(default_factory=dict)
    of_torch: bool = False

    def given_back(self, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Give weights, which have the network's own names, under those of the file."""
        named = {
            f"{self.prefix}{name}": value.to(self.kinds.get(name, value.dtype))
            for name, value in weights.items()
        }
        return {**named, **self.beside}

    def nested(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """Give tensors at the path at which they stood, on the CPU."""
        content: dict[str, Any] = OrderedDict(
            (name, value.detach().cpu().clone()) for name, value in tensors.items()
        )
        for step in reversed(self.part.split(".") if self.part else []):
            content = {step: content}
        return content


def own_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Give the weights of a network by the names that its own library or file gives them."""
    return model.own() if isinstance(model, Elsewhere) else dict(model.state_dict())


def find_place(path: Path, model: nn.Module, part: str = "") -> WeightsPlace:
    """Find where the weights of a network stood in the file that it was opened from.

    Names that the library of a network changes while it reads them are left as it gives them.

    Args:
        path: The file.
        model: The network.
        part: Which part was taken, where several groups of tensors fit the network.
    """
    parts, own = open_parts(path), own_weights(model)
    of_torch = inspect_file(path, values=False).format in ("torch", "torch legacy")
    fitting = chosen(fits(own, parts), part)
    if len(fitting) != 1:
        return WeightsPlace(of_torch=of_torch)
    held = fitting[0]
    kinds = {
        name: value.dtype
        for name, value in held.tensors.items()
        if value.is_floating_point() and value.dtype != torch.float32
    }
    bare = {name: name.removeprefix(held.prefix) for name in parts[held.part]}
    left = [n for n, short in bare.items() if short not in own and BESIDE.fullmatch(short)]
    beside = {name: parts[held.part][name] for name in left}
    return WeightsPlace(held.part, held.prefix, kinds, beside, of_torch)
