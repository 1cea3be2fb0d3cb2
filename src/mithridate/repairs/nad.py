"""Neural attention distillation: look where a fine-tuned copy of the network looks.

Axes: b examples of a batch, k channels, p places of a map (rows times columns), d features.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.core.inference import autocast, last_linear
from mithridate.core.objective import Batch
from mithridate.core.view import View
from mithridate.repairs.fine_tuning import FineTuning
from mithridate.repairs.trusted import use_all_trusted

Maps = dict[tuple[int, ...], torch.Tensor]
"""The last activations of each resolution of a forward pass, float[b, k, rows, columns]."""


@dataclass(frozen=True)
class NeuralAttentionDistillation(FineTuning):
    """Fine-tune on trusted examples and look where a fine-tuned copy of the model looks.

    Minimises mean_i CE(f(x_i), y_i) + weight * mean over stages of |a_i - t_i|^2, a_i and t_i the
    attention maps of the model and of the copy: mean over channels of A^2, divided by its length.
    The copy, the teacher, is fine-tuned in the same way before, and keeps still. A stage is the
    last activation of each resolution with more than one place; in a network without rows and
    columns the squared features are the only map. The paper averages the squared differences over
    the places of a map and sums over three stages with weights of 500 to 1000; a weight of 10 to 50
    on maps of 8x8 places is the same here, and it weighs all resolutions alike. Ten times the
    default destroys the network.

    Attributes:
        weight: of the distance of the maps.

    Raises:
        MethodError: where fewer than ten examples are trusted or a setting is not positive.
    """

    paper = "Li et al., Neural Attention Distillation, ICLR 2021"
    links = ("https://arxiv.org/abs/2101.05930",)
    known_as = ("nad",)
    space: ClassVar[dict[str, tuple[float, ...]]] = {
        "weight": (10.0, 30.0, 100.0),
        "learning_rate": (0.05, 0.1, 0.2),
    }

    epochs: int = 8
    weight: float = 30.0

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Fine-tune a teacher and distil its attention into a copy of the model."""
        if not self.weight > 0:
            raise MethodError(
                f"the weight must be positive, found {self.weight}; fine-tuning has none"
            )
        data = use_all_trusted(view)
        teacher = self.tune(copy.deepcopy(view.model), view, data, rng)
        student, precision = copy.deepcopy(view.model), self.training().precision
        with watch_maps(student) as mine, watch_maps(teacher) as wanted:

            def minimised(batch: Batch) -> torch.Tensor:
                wanted.clear()
                with torch.no_grad(), autocast(batch.inputs.device.type, precision):
                    teacher(batch.inputs)
                term = distance(mine, wanted)
                mine.clear()
                return batch.losses.mean() + self.weight * term

            return self.tune(student, view, data, rng, objective=minimised)


@contextmanager
def watch_maps(model: nn.Module) -> Iterator[Maps]:
    """Keep the last activation of each resolution, and the features, of every forward pass."""
    maps: Maps = {}

    def keep(_: nn.Module, arguments: tuple[torch.Tensor, ...], output: object) -> None:
        if isinstance(output, torch.Tensor) and output.ndim == 4:
            maps[tuple(output.shape[2:])] = output

    def keep_features(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        maps[()] = arguments[0]

    hooks = [module.register_forward_hook(keep) for module in model.modules()]
    hooks.append(last_linear(model).register_forward_pre_hook(keep_features))
    try:
        yield maps
    finally:
        for hook in hooks:
            hook.remove()


def attention(activation: torch.Tensor) -> torch.Tensor:
    """Give the map of one stage, float[b, p], each of length 1."""
    squared = activation.float().square()
    seen = squared.mean(1) if activation.ndim == 4 else squared
    return F.normalize(seen.flatten(1), eps=1e-8)


def distance(mine: Maps, wanted: Maps) -> torch.Tensor:
    """Give the squared distance of two networks' maps, averaged over stages and examples."""
    stages: list[tuple[int, ...]] = [size for size in mine if size and math.prod(size) > 1]
    apart = [
        (attention(mine[s]) - attention(wanted[s])).square().sum(1).mean() for s in stages or [()]
    ]
    return torch.stack(apart).mean()
