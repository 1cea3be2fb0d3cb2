"""A network of the attacker's own, and inputs that are changed along its gradients.

Axes: n images, k channels, h rows, w columns, c classes. Grey levels run from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset, Inputs, concatenate
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import State
from mithridate.core.runtime import Runtime
from mithridate.core.training_run import TrainingRun
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import change_in_floats, check

NETWORK = "resnet9:8"
"""What attackers train on the side: small, since its gradients carry over to other networks."""

BATCH = 128
"""Images that a gradient is taken of at once: those of a large set would not fit in memory."""


def surrogate(
    data: Dataset, rng: np.random.Generator, config: TrainingConfig, runtime: Runtime | None = None
) -> nn.Module:
    """Train a small network on an attacker's own copy of the data, in evaluation mode.

    A single image is taken twice, since training compares images.
    """
    domain = ImageDomain()
    data = concatenate(data, data) if len(data) == 1 else data
    model = domain.network(data, NETWORK, rng)
    run = TrainingRun(runtime or Runtime())
    return fit(model, data, domain, config, rng, run).model.requires_grad_(False)


def pack_surrogate(model: nn.Module) -> State:
    """Give the weights of a surrogate as plain tensors, so that they can be part of a state."""
    return {f"surrogate.{name}": value.cpu() for name, value in model.state_dict().items()}


def rebuild_surrogate(state: State, images: torch.Tensor, rng: np.random.Generator) -> nn.Module:
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
    images: torch.Tensor, rises: Callable[[torch.Tensor], torch.Tensor], budget: float, steps: int,
    stride: float, start: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    """Change images within a box so that a value rises, by signed gradients (PGD).

    z <- clip(z + stride sign(d rises(z) / d z)) to |z - x| <= budget and 0 <= z <= 255. Returns
    grey levels of the same shape, not rounded. Madry et al., Towards Deep Learning Models Resistant
    to Adversarial Attacks, ICLR 2018.

    Args:
        images: grey levels float[n, k, h, w].
        rises: gives a scalar.
        budget: in grey levels.
        stride: in grey levels.
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


def universal_perturbation(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, budget: float, steps: int,
    stride: float, rng: np.random.Generator,
) -> torch.Tensor:  # fmt: skip
    """Find one change of all images that lowers their mean loss under the labels given.

    Minimises mean_i CE(f(clip(x_i + delta)), y_i) over |delta| <= budget by signed gradients, each
    of `BATCH` random images, from a random start in the box. Returns delta, grey levels float[k, h,
    w], not rounded.

    Args:
        images: uint8[n, k, h, w].
        labels: int64[n].
        budget: in grey levels.
        stride: in grey levels.
    """
    device = next(model.parameters()).device
    middle = torch.full(images.shape[1:], 127.5)  # a change of it never meets black or white

    def rises(moved: torch.Tensor) -> torch.Tensor:
        rows = torch.from_numpy(rng.choice(len(images), min(BATCH, len(images)), replace=False))
        levels = images[rows].to(device).float() + (moved - middle.to(device))
        return -losses(model, levels.clamp(0, 255), labels[rows].to(device)).mean()

    start = (middle + draw_within(middle, budget, rng)).to(device)
    return ascend(middle.to(device), rises, budget, steps, stride, start).cpu() - middle


def draw_within(images: torch.Tensor, budget: float, rng: np.random.Generator) -> torch.Tensor:
    """Draw a change of images uniformly from the box |delta| <= budget, float32 of their shape."""
    drawn = rng.uniform(-budget, budget, tuple(images.shape))
    return torch.from_numpy(drawn).float().to(images.device)


def add(inputs: Inputs, change: torch.Tensor) -> torch.Tensor:
    """Add grey levels float[k, h, w] to every image uint8[n, k, h, w].

    Raises:
        MethodError: where the images are of another shape.
    """
    images = check(inputs)
    if images.shape[1:] != change.shape:
        raise MethodError(
            f"the change was learnt for images of shape {list(change.shape)}, found "
            f"{list(images.shape[1:])}; learn again from images like these"
        )
    return change_in_floats(images, lambda batch, _: batch + change)


def target(labels: torch.Tensor, target_labels: torch.Tensor) -> int:
    """Give the one class that the attacker wants of all examples aimed at.

    Raises:
        MethodError: where the attacker wants several, which one perturbation cannot serve.
    """
    aimed = target_labels != labels
    classes = (target_labels[aimed] if bool(aimed.any()) else target_labels).unique()
    if len(classes) != 1:
        raise MethodError(
            f"one class must be wanted, found {len(classes)}; "
            "choose a goal with a single target, such as all-to-one"
        )
    return int(classes)
