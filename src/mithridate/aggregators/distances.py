"""Distances between the updates of clients, exact where they nearly agree.

Axes: m clients, p numbers of a model's parameters.
"""

from __future__ import annotations

import numpy as np
import torch

from mithridate.aggregators.blocks import blocks

NEAR = 1e-6
"""Where a squared distance is so small a share of the squared norms, products have lost its digits
(to 10 of 16 at this share), and the difference itself is squared."""


def products(updates: torch.Tensor, origin: torch.Tensor | None = None) -> torch.Tensor:
    """Give the inner products of updates, float64[m, m].

    Args:
        updates: float32[m, p].
        origin: float32[p], what is taken from each of them first.
    """
    m = len(updates)
    total = torch.zeros(m, m, dtype=torch.float64, device=updates.device)
    for place, block in blocks(updates):
        moved = block if origin is None else block - origin[place].double()
        total += moved @ moved.T
    return total


def squared_distances(updates: torch.Tensor) -> torch.Tensor:
    """Give |u_i - u_j|^2 for every pair of clients, float64[m, m].

    Products of whole updates are many times faster than differences, and wrong where two updates
    nearly agree: such pairs are subtracted number by number.

    Args:
        updates: float32[m, p].
    """
    inner = products(updates)
    squares = inner.diagonal()
    both = squares[:, None] + squares
    squared = (both - 2 * inner).clamp_min(0).fill_diagonal_(0)
    near = (squared <= NEAR * both).triu(1).nonzero()
    exact = torch.zeros(len(near), dtype=torch.float64, device=updates.device)
    for _, block in blocks(updates) if len(near) else ():
        for k, (i, j) in enumerate(near.tolist()):
            exact[k] += (block[i] - block[j]).square().sum()
    squared[near[:, 0], near[:, 1]] = exact
    squared[near[:, 1], near[:, 0]] = exact
    return squared


def cosines(updates: torch.Tensor) -> torch.Tensor:
    """Give the cosine of every pair, float64[m, m]; that of an update of zeros is 0."""
    inner = products(updates)
    length = inner.diagonal().sqrt()
    shares = inner / length.clamp_min(1e-300)[:, None] / length.clamp_min(1e-300)
    return shares.clamp(-1, 1)


def ranked(scores: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """Order clients from the lowest score, int64[m]; among equals the lowest number comes first.

    Scores that agree to 9 digits are equal, since the order in which numbers are added moves the
    last ones: otherwise the order of the clients would decide between twins.

    Args:
        scores: float64[m].
        ids: int64[m].
    """
    fraction, exponent = np.frexp(scores.double().cpu().numpy())
    digits = np.ldexp(np.round(fraction * 2.0**30) / 2.0**30, exponent)
    return torch.from_numpy(np.lexsort((ids.cpu().numpy(), digits)))
