"""Channel Lipschitz pruning: channels that can amplify their input most are cut, without data.

Axes: k channels of a layer, i inputs of a layer, p places of a kernel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from mithridate.core.method import Repair
from mithridate.core.view import View
from mithridate.repairs.channels import Channels, channels, outliers, prune, weight


@dataclass(frozen=True)
class ChannelLipschitzPruning(Repair):
    """Cut the channels whose Lipschitz bound stands out in their layer; needs no data.

    A channel's bound is s = |gamma / sqrt(var + eps)| * ||W||_2, with W its kernel as a matrix of
    inputs by places, ||.||_2 the largest singular value, and the first factor that of the batch
    normalisation right behind it, or 1. Channels with s > mean + deviations * std of the layer,
    over the k channels, are zeroed with their biases. Linear layers before the last count too,
    their W is one row. A normalisation that follows no layer directly has no kernel and is left
    alone.

    Attributes:
        deviations: u of the paper; since no value of k exceeds the mean by more than sqrt(k - 1)
            standard deviations, 3 can never cut a channel of a layer with 10 or fewer.

    Raises:
        MethodError: where the model has no such channels.
    """

    paper = "Zheng et al., Data-Free Backdoor Removal Based on Channel Lipschitzness, ECCV 2022"
    links = ("https://arxiv.org/abs/2208.03111",)
    known_as = ("clp",)
    space: ClassVar[Mapping[str, tuple[Any, ...]]] = {"deviations": (1.0, 2.0, 3.0, 5.0)}

    deviations: float = 3.0

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Cut what stands out."""
        bounds_of = {group.name: bounds(group) for group in channels(view.model) if group.maker}
        return prune(view.model, {k: outliers(v, self.deviations) for k, v in bounds_of.items()})


def bounds(group: Channels) -> torch.Tensor:
    """Give the Lipschitz bound of each channel, float[k]."""
    kernels = weight(group.maker).detach().float()
    flat = kernels.reshape(len(kernels), kernels.shape[1], -1)
    norms: torch.Tensor = torch.linalg.matrix_norm(flat, ord=2)
    if group.layer is group.maker:
        return norms
    variance = getattr(group.layer, "running_var", None)
    norms *= weight(group.layer).detach().float().abs()
    if isinstance(variance, torch.Tensor):
        norms /= (variance + float(getattr(group.layer, "eps", 0.0))).sqrt()
    return norms
