"""Batch-normalisation pruning: channels whose training moments clean examples do not share.

Axes: n examples, b examples of a batch, k channels of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mithridate.core.errors import MethodError
from mithridate.core.inference import forward
from mithridate.core.method import Repair
from mithridate.core.view import View
from mithridate.repairs.channels import outliers, prune
from mithridate.repairs.trusted import use_all_trusted


@dataclass(frozen=True)
class BatchNormPruning(Repair):
    """Cut the channels whose moments in training differ from those on trusted examples.

    A channel of a batch normalisation is scored by
      KL(N(m, v) || N(m', v')) = (v / v' + (m - m')^2 / v' - 1 - ln(v / v')) / 2,
    m and v its running moments, to which poison has contributed, m' and v' those of its inputs on
    trusted examples, in evaluation mode. Channels above mean + deviations * std of the layer are
    zeroed with their biases. The running moments must be those of the training that is doubted:
    after a fine-tuning on clean data they say nothing.

    Attributes:
        deviations: u of the paper; no value of k exceeds the mean by more than sqrt(k - 1) standard
            deviations.

    Raises:
        MethodError: where the model has no batch normalisation with running moments and weights, or
            fewer than ten examples are trusted.
    """

    paper = "Zheng et al., Pre-activation Distributions Expose Backdoor Neurons, NeurIPS 2022 (BNP)"
    links = (
        "https://proceedings.neurips.cc/paper_files/paper/2022/file/"
        "76917808731dae9e6d62c2a7a6afb542-Paper-Conference.pdf",
    )
    known_as = ("bnp",)
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"deviations": (1.0, 2.0, 3.0, 5.0)}

    deviations: float = 3.0

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Compare the moments and cut what stands out."""
        dead = {}
        for name, (layer, mean, variance) in clean_moments(view).items():
            then, spread = layer.get_buffer("running_mean"), layer.get_buffer("running_var")
            moved = divergence(
                then.double().cpu(), spread.double().cpu() + layer.eps, mean, variance + layer.eps
            )
            dead[name] = outliers(moved, self.deviations)
        return prune(view.model, dead)


def divergence(
    mean: torch.Tensor, variance: torch.Tensor, other: torch.Tensor, spread: torch.Tensor
) -> torch.Tensor:
    """Give KL(N(mean, variance) || N(other, spread)) of each channel, float[k]."""
    ratio = variance / spread
    return (ratio + (mean - other).square() / spread - 1 - ratio.log()) / 2


Moments = dict[str, tuple[_BatchNorm, torch.Tensor, torch.Tensor]]


def clean_moments(view: View) -> Moments:
    """Give each normalisation by name, with mean and variance of its inputs, float64[k] each."""
    layers = {
        name: layer
        for name, layer in view.model.named_modules()
        if isinstance(layer, _BatchNorm) and layer.affine and layer.running_mean is not None
    }
    if not layers:
        raise MethodError(
            "the model has no batch normalisation with running moments, so there is nothing to "
            "compare; use channel-lipschitz-pruning or a repair that trains instead"
        )
    clean = use_all_trusted(view)
    sums: dict[str, list[torch.Tensor]] = {name: [] for name in layers}

    def keep(name: str, _: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        values = arguments[0].detach().double().transpose(0, 1).flatten(1)
        count = torch.full_like(values[:, 0], values.shape[1])
        sums[name].append(torch.stack([count, values.sum(1), values.square().sum(1)]).cpu())

    hooks = [layer.register_forward_pre_hook(partial(keep, n)) for n, layer in layers.items()]
    try:
        forward(view.model, view.domain.prepare(clean.inputs), view.runtime, precision="fp32")
    finally:
        for hook in hooks:
            hook.remove()
    moments: Moments = {}
    for name, layer in layers.items():
        count, total, squares = torch.stack(sums[name]).sum(0)
        mean = total / count
        moments[name] = (layer, mean, (squares / count - mean.square()).clamp_min(0))
    return moments
