"""Sums over the updates of many clients in float64, block by block, so that memory stays small.

What is asked of all updates at once may hold no second copy of them, not even of bits: the sum of
a table of bool makes integers of all of it first.
Axes: m clients, p numbers of a model's parameters, b numbers of a block.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

BLOCK = 1 << 21
"""Numbers of a block over all clients: 16 MiB in float64."""


def blocks(updates: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Give the columns of updates float32[m, p] as float64[m, b], with their places."""
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
    """Give sum_i w_i u_i / sum_i w_i, float32[p], or zeros where all weights are 0."""
    total = weights.double().sum()
    return weighted_sum(updates, weights.double() / total if bool(total > 0) else weights)


def norms(updates: torch.Tensor) -> torch.Tensor:
    """Give the Euclidean norm of each update, float64[m]."""
    total = torch.zeros(len(updates), dtype=torch.float64, device=updates.device)
    for _, block in blocks(updates):
        total += block.square().sum(1)
    return total.sqrt()


def clipped_mean(
    updates: torch.Tensor, bound: torch.Tensor, kept: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shorten updates to a bound and average them, each client once.

        mean over the kept i of min(1, bound / |u_i|) u_i

    Args:
        updates: float32[m, p].
        bound: float64[], of the Euclidean norm.
        kept: bool[m], who is averaged; by default all.

    Returns:
        The mean, float32[p], and the factors, float64[m].
    """
    length = norms(updates)
    factors = torch.where(length > bound, bound / length.clamp_min(1e-300), 1.0)
    counted = torch.ones_like(factors) if kept is None else kept.double()
    return weighted_sum(updates, factors * counted / counted.sum().clamp_min(1)), factors
