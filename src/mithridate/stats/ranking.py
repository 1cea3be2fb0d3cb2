"""How well scores separate two groups.

Axes: n units. Larger scores are more suspicious.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.stats import rankdata


def auroc(scores: torch.Tensor, positive: torch.Tensor) -> float:
    """Probability that a positive unit scores above a negative one; ties count one half.

    scores: float[n]; positive: bool[n]. Not a number where either group is empty.
    """
    mask = positive.bool().numpy()
    above, below = int(mask.sum()), int((~mask).sum())
    if not above or not below:
        return float("nan")
    ranks = rankdata(scores.double().numpy())
    return float((ranks[mask].sum() - above * (above + 1) / 2) / (above * below))


def tpr_at_fpr(scores: torch.Tensor, positive: torch.Tensor, fpr: float) -> float:
    """Largest share of positives found by a threshold with at most `fpr` of negatives above it.

    scores: float[n]; positive: bool[n]. Not a number where either group is empty.
    """
    mask = positive.bool().numpy()
    values = scores.double().numpy()
    negatives = np.sort(values[~mask])[::-1]
    if not mask.any() or not len(negatives):
        return float("nan")
    allowed = int(np.floor(fpr * len(negatives) + 1e-9))  # 0.29 * 100 is a little less than 29
    threshold = negatives[allowed] if allowed < len(negatives) else -np.inf
    return float((values[mask] > threshold).mean())
