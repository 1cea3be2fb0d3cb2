"""Adversarial images: small changes that make one given network call clean images something else.

Axes: n images, k channels, h rows, w columns, c classes. Grey levels run from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.optimisers import Adam
from mithridate.domains.image.surrogate import ascend
from mithridate.domains.image.triggers import check

BATCH = 256
"""Images that a gradient is taken of at once: those of a large set would not fit in memory."""
CLOSE = 1e-3
"""How near to black and white the search begins: at the very ends it has no slope."""

Search: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Gives grey levels float[n, k, h, w] for those of clean images and the classes wanted."""


class Adversarial(NamedTuple):
    """Images uint8[n, k, h, w] and which of them, rounded, are called what was wanted: bool[n]."""

    images: torch.Tensor
    fooled: torch.Tensor

    @property
    def share(self) -> float:
        """The share that fools the network."""
        return float(self.fooled.double().mean())


def projected_gradient(
    model: nn.Module, inputs: Inputs, target_labels: torch.Tensor, budget: float = 8.0,
    steps: int = 20, stride: float = 1.0,
) -> Adversarial:  # fmt: skip
    """Move images towards wanted classes within a box, no further than it takes (targeted PGD).

    Signed steps of `stride` against the loss of the wanted class, |z - x| <= budget, from the image
    itself. An image stops once it is called what is wanted after rounding, so that it lies at the
    border; the paper's steps all the way would leave it deep inside. Run on the device of the
    model, in 32 bits. Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks,
    ICLR 2018.

    Args:
        inputs: uint8[n, k, h, w].
        target_labels: int64[n].
        budget: in grey levels.
        stride: in grey levels.
    """

    def search(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        def rises(moved: torch.Tensor) -> torch.Tensor:
            logits = model(_round_straight_through(moved)).float()
            left = (_margin(logits, labels) <= 0).detach()
            return -(F.cross_entropy(logits, labels, reduction="none") * left).sum()

        return ascend(images, rises, budget, steps, stride)

    return _in_batches(model, inputs, target_labels, search)


def carlini_wagner(
    model: nn.Module, inputs: Inputs, target_labels: torch.Tensor, constant: float = 1.0,
    searches: int = 3, steps: int = 60, learning_rate: float = 0.05, confidence: float = 0.0,
) -> Adversarial:  # fmt: skip
    """Find small changes in L2 that make images be called what is wanted, after rounding.

    Minimises |z - x|^2 + a max(max_{j != t} f_j(z) - f_t(z) + confidence, 0) by Adam over w, with z
    = (1 + tanh w) / 2, values from 0 to 1 and z rounded to bytes. Each image keeps the nearest z
    that fools the network. a begins at `constant`; after each search it is divided by 4 for images
    that fool the network and multiplied by 4 for the others. The authors use 9 searches of 10,000
    steps. Carlini and Wagner, Towards Evaluating the Robustness of Neural Networks, IEEE S&P 2017.

    Args:
        inputs: uint8[n, k, h, w].
        target_labels: int64[n].
        searches: of a search.
        steps: of a search.
        learning_rate: of Adam.
    """

    def search(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weight = torch.full((len(images),), constant, device=images.device)
        best = images.clone()
        nearest = torch.full((len(images),), torch.inf, device=images.device)
        for _ in range(searches):
            adversarial, distance = _descend(
                model, images, labels, weight, (steps, learning_rate, confidence)
            )
            closer = distance < nearest
            best[closer], nearest[closer] = adversarial[closer], distance[closer]
            weight = torch.where(torch.isfinite(distance), weight / 4, weight * 4)
        return best

    return _in_batches(model, inputs, target_labels, search)


def _descend(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    weight: torch.Tensor,
    settings: tuple[int, float, float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """One search: the nearest grey levels that fool, and how near; infinity where none does."""
    steps, learning_rate, confidence = settings
    origin = images / 255
    place = torch.atanh((2 * origin - 1) * (1 - CLOSE)).requires_grad_()
    optimiser = Adam([place], lr=learning_rate)
    best = images.clone()
    nearest = torch.full((len(images),), torch.inf, device=images.device)
    for _ in range(steps):
        moved = (1 + torch.tanh(place)) / 2
        levels = _round_straight_through(moved * 255)
        margin = _margin(model(levels).float(), labels)
        distance = (levels / 255 - origin).square().flatten(1).sum(1)
        short = (confidence - margin).clamp_min(0)
        (place.grad,) = torch.autograd.grad((distance + weight * short).sum(), place)
        optimiser.step()
        closer = (distance.detach() < nearest) & (margin.detach() > confidence)
        best[closer], nearest[closer] = levels.detach()[closer], distance.detach()[closer]
    return best, nearest


def _margin(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """By how much the wanted class leads, float[n]."""
    own = logits.gather(1, labels[:, None])
    rest: torch.Tensor = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    return own[:, 0] - rest


def _round_straight_through(levels: torch.Tensor) -> torch.Tensor:
    """Whole grey levels, with the slope of those that are not rounded."""
    return levels + (levels.round() - levels).detach()


def _reaches_target(model: nn.Module, levels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Which images, rounded, are called what is wanted, bool[n]."""
    return _margin(model(levels.round()).float(), labels) > 0


def _in_batches(
    model: nn.Module, inputs: Inputs, target_labels: torch.Tensor, search: Search
) -> Adversarial:
    """Search for all images, a batch at a time, with the model as it is when it answers."""
    images, device = check(inputs), next(model.parameters()).device
    if target_labels.shape != (len(images),):
        raise MethodError(
            f"one wanted class for each of {len(images)} images is needed, found a tensor of shape "
            f"{list(target_labels.shape)}"
        )
    was_training, parts, fooled = model.training, [images[:0]], [target_labels[:0].bool()]
    model.eval()
    try:
        for rows in torch.arange(len(images)).split(BATCH):
            labels = target_labels[rows].to(device)
            levels = search(images[rows].to(device).float(), labels).round()
            with torch.no_grad():
                fooled.append(_reaches_target(model, levels, labels).cpu())
            parts.append(levels.to(torch.uint8).cpu())
    finally:
        model.train(was_training)
    return Adversarial(torch.cat(parts), torch.cat(fooled))
