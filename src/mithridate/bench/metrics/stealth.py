"""How far an attack moves features and weights, for the referee, who holds the clean twins.

How far it moves inputs is the domain's to say, by `Domain.difference`.
Axes: n examples, k examples of the wanted class, d features.
"""

from __future__ import annotations

import torch
from torch import nn

from mithridate.core.errors import MethodError


def feature_shift(
    clean: torch.Tensor, triggered: torch.Tensor, wanted: torch.Tensor
) -> dict[str, float]:
    """Measure how far the trigger moves features, and where to.

    With their mean w and spread r, the root mean square of |x - w| over them: shift: mean of
    |triggered - clean| / |clean|, larger is easier to notice (LPIPS of Zhang et al. 2018 compares
    images so, in another network's features); to_wanted: mean of |triggered - w| / r, about 1 where
    triggered examples look like the wanted class, larger is easier to notice; to_wanted_clean: the
    same of the clean twins, for comparison.

    Args:
        clean: float[n, d], features of the same examples without and with the trigger.
        triggered: float[n, d], features of the same examples without and with the trigger.
        wanted: float[k, d], features of clean examples of the class that the attacker wants.

    Raises:
        MethodError: where the shapes do not belong together.
    """
    if clean.shape != triggered.shape or clean.ndim != 2 or wanted.shape[1:] != clean.shape[1:]:
        raise MethodError(
            "feature_shift compares [n, d] with its twins [n, d] and with [k, d], found "
            f"{list(clean.shape)}, {list(triggered.shape)} and {list(wanted.shape)}"
        )
    before, after, goal = clean.double(), triggered.double(), wanted.double()
    centre = goal.mean(0)
    spread = (goal - centre).square().sum(1).mean().sqrt()
    moved = (after - before).norm(dim=1) / before.norm(dim=1)
    return {
        "shift": float(torch.where(after.eq(before).all(1), 0, moved).mean()),
        "to_wanted": float((after - centre).norm(dim=1).mean() / spread),
        "to_wanted_clean": float((before - centre).norm(dim=1).mean() / spread),
    }


def spectral_shift(features: torch.Tensor, poisoned: torch.Tensor, labels: torch.Tensor) -> float:
    """Measure how far poison lies from clean examples along the main direction of its class.

    In every class with at least two of either kind: the features' first principal direction, and
    along it |mean of poison - mean of clean| over their pooled standard deviation. The mean over
    classes, weighted by their poison; larger is easier to notice by spectral methods (Tran et al.
    2018). Not a number where no class has both.

    Args:
        features: float[n, d].
        poisoned: bool[n].
        labels: int64[n] as the defender sees them.
    """
    total, weight = 0.0, 0
    for label in labels[poisoned].unique().tolist():
        rows = labels == label
        inside, clean = features[rows & poisoned].double(), features[rows & ~poisoned].double()
        if min(len(inside), len(clean)) >= 2:
            total += _separation(inside, clean) * len(inside)
            weight += len(inside)
    return total / weight if weight else float("nan")


def _separation(first: torch.Tensor, second: torch.Tensor) -> float:
    """Difference of means over the pooled deviation, along the main direction of both together."""
    rows = torch.cat([first, second])
    direction = torch.linalg.eigh((rows - rows.mean(0)).T @ (rows - rows.mean(0)))[1][:, -1]
    a, b = first @ direction, second @ direction
    gap = float((a.mean() - b.mean()).abs())
    pooled = (a - a.mean()).square().sum() + (b - b.mean()).square().sum()
    deviation = float((pooled / (len(a) + len(b) - 2)).sqrt())
    return gap / deviation if deviation else (float("inf") if gap else 0.0)


def _check_architecture(first: dict[str, nn.Parameter], second: dict[str, nn.Parameter]) -> None:
    """Raise MethodError where parameters have other names or shapes."""
    if {k: v.shape for k, v in first.items()} != {k: v.shape for k, v in second.items()}:
        raise MethodError(
            "weights can only be compared between models of the same architecture: expected "
            f"{len(first)} parameters {list(first)[:3]}..., found {len(second)} "
            f"{list(second)[:3]}... or other shapes"
        )


def weight_distance(before: nn.Module, after: nn.Module) -> dict[str, float]:
    """Measure how far the parameters of a model were changed.

    relative: |after - before| / |before| over all parameters; largest: the largest such ratio of
    one parameter tensor. 0 is no change, larger is easier to notice; infinite where what was zero
    no longer is. Running means of normalisation are no parameters. Two separate trainings lie far
    apart without any attack, so this suits an attack that starts from `before`.

    Raises:
        MethodError: where the models have different parameters.
    """
    first, second = dict(before.named_parameters()), dict(after.named_parameters())
    _check_architecture(first, second)
    sizes, moves = {}, {}
    for name, parameter in first.items():
        old, new = parameter.detach().double().cpu(), second[name].detach().double().cpu()
        sizes[name], moves[name] = float(old.square().sum()), float((new - old).square().sum())
    ratios = [_ratio(moves[name], sizes[name]) for name in sizes]
    return {
        "relative": _ratio(sum(moves.values()), sum(sizes.values())),
        "largest": max(ratios, default=0.0),
    }


def _ratio(moved: float, size: float) -> float:
    if not moved:
        return 0.0
    return float((moved / size) ** 0.5) if size else float("inf")
