"""How well scores separate two groups.

Axes: n units. Larger scores are more suspicious.
"""

from __future__ import annotations

import numpy as np
import scipy
import torch

from mithridate.stats.intervals import Interval


def auroc(scores: torch.Tensor, positive: torch.Tensor) -> float:
    """Probability that a positive unit scores above a negative one; ties count one half.

    Not a number where either group is empty.

    Args:
        scores: float[n].
        positive: bool[n].
    """
    mask = positive.bool().numpy()
    above, below = int(mask.sum()), int((~mask).sum())
    if not above or not below:
        return float("nan")
    ranks = scipy.stats.rankdata(scores.double().numpy())
    return float((ranks[mask].sum() - above * (above + 1) / 2) / (above * below))


def auroc_interval(scores: torch.Tensor, positive: torch.Tensor, level: float = 0.95) -> Interval:
    """AUROC with the interval of DeLong, DeLong and Clarke-Pearson, Biometrics 1988.

    The variance is that of each unit's share of the pairs that it wins. n is the number of
    positives.

    Args:
        scores: float[n].
        positive: bool[n].
    """
    mask, values = positive.bool().numpy(), scores.double().numpy()
    above, below = int(mask.sum()), int((~mask).sum())
    centre = auroc(scores, positive)
    if above < 2 or below < 2:
        return Interval(centre, 0.0, 1.0, above)
    ranks = scipy.stats.rankdata(values)
    wins = (ranks[mask] - scipy.stats.rankdata(values[mask])) / below
    losses = 1 - (ranks[~mask] - scipy.stats.rankdata(values[~mask])) / above
    spread = np.sqrt(wins.var(ddof=1) / above + losses.var(ddof=1) / below)
    half = float(scipy.stats.norm.ppf((1 + level) / 2) * spread)
    return Interval(centre, max(0.0, centre - half), min(1.0, centre + half), above)


def roc(scores: torch.Tensor, positive: torch.Tensor, points: int = 60) -> list[list[float]]:
    """The ROC curve at so many false-positive rates, densest near 0: [[FPR, TPR], ...]."""
    rates = np.concatenate([[0.0], np.geomspace(1e-3, 1.0, points - 1)])
    return [[round(float(r), 5), round(tpr_at_fpr(scores, positive, float(r)), 5)] for r in rates]


def tpr_at_fpr(scores: torch.Tensor, positive: torch.Tensor, fpr: float) -> float:
    """Largest share of positives found by a threshold with at most `fpr` of negatives above it.

    Not a number where either group is empty.

    Args:
        scores: float[n].
        positive: bool[n].
    """
    mask = positive.bool().numpy()
    values = scores.double().numpy()
    negatives = np.sort(values[~mask])[::-1]
    if not mask.any() or not len(negatives):
        return float("nan")
    allowed = int(np.floor(fpr * len(negatives) + 1e-9))  # 0.29 * 100 is a little less than 29
    threshold = negatives[allowed] if allowed < len(negatives) else -np.inf
    return float((values[mask] > threshold).mean())
