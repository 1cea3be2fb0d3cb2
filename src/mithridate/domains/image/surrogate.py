"""A network of the attacker's own, and inputs that are changed along its gradients.

Axes: n images, k channels, h rows, w columns, c classes. Grey levels run from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.fit import Recipe, fit
from mithridate.core.method import State
from mithridate.core.runtime import Runtime
from mithridate.domains.image.domain import ImageDomain

NETWORK = "resnet9:8"
"""What attackers train on the side: small, since its gradients carry over to other networks."""


def surrogate(
    data: Dataset, rng: np.random.Generator, recipe: Recipe, runtime: Runtime | None = None
) -> nn.Module:
    """Train a small network on an attacker's own copy of the data, in evaluation mode."""
    domain = ImageDomain()
    model = domain.network(data, NETWORK, rng)
    return fit(model, data, domain, recipe, rng, runtime=runtime).model.requires_grad_(False)


def kept(model: nn.Module) -> State:
    """Give the weights of a surrogate as plain tensors, so that they can be part of a state."""
    return {f"surrogate.{name}": value for name, value in model.state_dict().items()}


def rebuilt(state: State, images: torch.Tensor, rng: np.random.Generator) -> nn.Module:
    """Build the surrogate again from a state that holds it; the number of classes is in it."""
    start = "surrogate."
    weights = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
    classes = list(weights.values())[-1].shape[0]
    names = tuple(str(label) for label in range(classes))
    like = Dataset(images[:1], torch.zeros(1).long(), torch.zeros(1).long(), names)
    model = ImageDomain().network(like, NETWORK, rng)
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def ascend(
    images: torch.Tensor,
    rises: Callable[[torch.Tensor], torch.Tensor],
    budget: float,
    steps: int,
    stride: float,
    start: torch.Tensor | None = None,
) -> torch.Tensor:
    """Change images within a box so that a value rises, by signed gradients (PGD).

    z <- clip(z + stride sign(d rises(z) / d z)) to |z - x| <= budget and 0 <= z <= 255.
    images: grey levels float[n, k, h, w]; rises: gives a scalar; budget, stride: in grey levels.
    Returns grey levels of the same shape, not rounded.
    Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018.
    """
    low, high = (images - budget).clamp_min(0), (images + budget).clamp_max(255)
    changed = images if start is None else start
    for _ in range(steps):
        changed = changed.detach().requires_grad_()
        (slope,) = torch.autograd.grad(rises(changed), changed)
        changed = (changed + stride * slope.sign()).clamp(min=low, max=high)
    return changed.detach()


def losses(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of grey levels float[n, k, h, w] under labels int64[n], float[n]."""
    return F.cross_entropy(model(images).float(), labels, reduction="none")
