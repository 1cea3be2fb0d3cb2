"""A covariance that a share of outliers cannot inflate.

Axes: n points, k dimensions.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

TAU = 0.1
"""Probability of failure that the filter's theory allows."""

DENSE = 10
"""Up to this dimension the matrix of fourth moments is small enough to be formed."""


def robust_subset(points: torch.Tensor, share: float) -> torch.Tensor:
    """Find the points whose fourth moments look like those of one Gaussian, bool[n].

    Points are dropped until the variance of z'Vz, for whitened points z and the worst unit V, is
    what a share of outliers may cause; at most 2 share n and at most half of them. Diakonikolas,
    Kamath, Kane, Li, Moitra and Stewart, Being Robust (in High Dimensions) Can Be Practical, ICML
    2017, with the stopping rule and the cuts of the code published with SPECTRE.

    Args:
        points: float64[n, k], centred.
    """
    n, k = points.shape
    kept, allowed = torch.ones(n, dtype=torch.bool), min(round(2 * share * n), n // 2)
    start = np.eye(k).ravel()
    while k > 1 and allowed > 0:
        white = points[kept]
        white = white @ whitening(white.T @ white / len(white))
        distance = white.square().sum(1)
        over = distance >= 10 * k * math.log(len(white) / TAU)
        if not over.any():
            value, start = worst_form(white, start)
            if value <= 1 + 10 * share * math.log(1 / share) ** 2:
                break
            form = torch.from_numpy(start).view(k, k)
            distance = ((white @ form) * white).sum(1) / math.sqrt(2)
            distance = (distance - distance.median()).abs()
            over = distance > _cut(distance, share)
        over &= distance > distance.sort().values[len(white) - allowed - 1]
        if not over.any():
            break
        allowed -= int(over.sum())
        kept[kept.nonzero().flatten()[over]] = False
    return kept


def _cut(distance: torch.Tensor, share: float) -> float:
    """Where the tail begins: 3 below the first distance far outside, or else below the last."""
    less = distance.sort().values - 3
    far = less[less > 10 * math.log(1 / share)]
    cut = float(far[0] if len(far) else less[-1])
    return cut if cut > 0 else math.inf


def worst_form(white: torch.Tensor, start: Any) -> tuple[float, Any]:
    """Largest eigenvalue and unit eigenvector of mean (zz')(zz')' - II', matrices as vectors.

    The eigenvector is float64[k * k]. Above ten dimensions it is right to 3 %, which tells a tail
    as well, and needs memory n k where the matrix would need k^4.

    Args:
        white: float64[n, k].
        start: float64[k * k], near the answer if possible.
    """
    n, k = white.shape
    if k <= DENSE:
        pairs = (white[:, :, None] * white[:, None, :]).flatten(1)
        unit = torch.eye(k, dtype=white.dtype).flatten()
        values, vectors = torch.linalg.eigh(pairs.T @ pairs / n - torch.outer(unit, unit))
        return float(values[-1]), vectors[:, -1].contiguous().numpy()
    narrow = white.float()

    def product(vector: Any) -> Any:
        form = torch.from_numpy(vector).float().view(k, k)
        along = ((narrow @ form) * narrow).sum(1, keepdim=True)
        applied = (narrow * along).T @ narrow / n - torch.eye(k) * form.trace()
        return applied.double().numpy().ravel()

    operator = LinearOperator((k * k, k * k), matvec=product, dtype=np.float64)
    values, vectors = eigsh(operator, k=1, which="LA", ncv=8, tol=3e-2, v0=start)
    return float(values[0]), vectors[:, 0].copy()


def covariance(points: torch.Tensor) -> torch.Tensor:
    """Give the covariance of points float64[n, k], float64[k, k]."""
    centred = points - points.mean(0)
    return centred.T @ centred / len(points)


def whitening(matrix: torch.Tensor) -> torch.Tensor:
    """Give the inverse root of a covariance float64[k, k]; directions without variance become 0."""
    values, vectors = torch.linalg.eigh(matrix)
    roots = torch.where(values > 1e-12 * values[-1], values.clamp_min(1e-300).rsqrt(), 0.0)
    inverse: torch.Tensor = (vectors * roots) @ vectors.T
    return inverse
