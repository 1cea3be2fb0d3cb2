"""How unusual a figure is, in either direction, among trusted inputs of the same class.

Axes: n trusted examples, q inputs judged.
"""

from __future__ import annotations

import math

import torch

ENOUGH = 20
"""With fewer trusted examples of a class, an input is compared with those of all classes."""


def two_sided_surprise(
    values: torch.Tensor, labels: torch.Tensor, usual: torch.Tensor, known: torch.Tensor
) -> torch.Tensor:
    """Give -ln of the two-sided tail of each value among the usual ones of its class, float64[q].

    The tail is 2 min(#{u <= v} + 1, #{u >= v} + 1) / (n + 1), at most 1. Values outside all usual
    ones would be equal; they gain x / (1 + x) ln 2, with x how far outside they are in units of the
    range.

    Args:
        values: float[q].
        labels: int64[q].
        usual: float[n].
        known: int64[n].
    """
    values, usual, scores = values.double(), usual.double(), torch.zeros(len(values)).double()
    for label in labels.unique().tolist():
        own = usual[known == label]
        rows = labels == label
        scores[rows] = _tail(values[rows], (own if len(own) >= ENOUGH else usual).sort().values)
    return scores


def _tail(values: torch.Tensor, usual: torch.Tensor) -> torch.Tensor:
    """The same for one class, whose usual values are in ascending order."""
    n = len(usual)
    below = torch.searchsorted(usual, values, right=True)
    above = n - torch.searchsorted(usual, values, right=False)
    tail = (2 * (torch.minimum(below, above) + 1) / (n + 1)).clamp_max(1).double()
    outside = torch.maximum(usual[0] - values, values - usual[-1]).clamp_min(0)
    far = outside / (usual[-1] - usual[0]).clamp_min(1e-300)
    gain = torch.where(outside > 0, 1 - 1 / (1 + far), 0.0)
    return -tail.log() + math.log(2) * gain
