"""Sums over the updates of many clients in float64, block by block, so that memory stays small.

Axes: m clients, p numbers of a model's parameters.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

BLOCK = 1 << 21
"""Numbers of a block over all clients: 16 MiB in float64."""


def blocks(updates: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Give the columns of updates float32[m, p] in float64, block by block, with their places."""
    m, p = updates.shape
    width = max(1, BLOCK // m)
    for start in range(0, p, width):
        place = slice(start, min(start + width, p))
        yield place, updates[:, place].double()


def weighted_sum(updates: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Give sum_i w_i u_i, float32[p].

    Args:
        updates: float32[m, p].
        weights: [m].
    """
    total = torch.empty(updates.shape[1], dtype=torch.float32, device=updates.device)
    column = weights.double()
    for place, block in blocks(updates):
        total[place] = (column @ block).float()
    return total


def weighted_mean(updates: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Give sum_i w_i u_i / sum_i w_i, float32[p]; see `weighted_sum`."""
    return weighted_sum(updates, weights.double() / weights.double().sum())
