"""Distances to trusted examples, in 64 bits and a block at a time.

Axes: q queries, n trusted examples, d features, k neighbours, c classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

ENTRIES = 2**22
"""Distances held in memory at a time: 32 MB."""
SAME = 1e-6
"""Distances that differ by less than this share of the largest length are taken for equal."""


def blocks(
    queries: torch.Tensor, points: torch.Tensor, itself: bool = False
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Give the distances of queries float[q, d] to points float[n, d], block by block of queries.

    Yields positions int64[b] and distances float64[b, n]; what is rounding is 0.

    Args:
        itself: whether the queries are the points, so that each is infinitely far from itself.
    """
    centre = points.double().mean(0)
    fixed = points.double() - centre
    lengths = fixed.square().sum(1)
    for rows in torch.arange(len(queries)).split(max(1, ENTRIES // max(1, len(points)))):
        moved = queries[rows].double() - centre
        own = moved.square().sum(1, keepdim=True)
        squares = torch.addmm(lengths, moved, fixed.T, alpha=-2) + own
        tiny = SAME**2 * torch.maximum(own, lengths)
        distances = torch.where(squares > tiny, squares, 0.0).sqrt()
        if itself:
            distances[torch.arange(len(rows)), rows] = torch.inf
        yield rows, distances


def votes(distances: torch.Tensor, labels: torch.Tensor, classes: int, count: int) -> torch.Tensor:
    """Give each class its share of the `count` nearest points, float64[q, c].

    Points at equal distances count in equal parts, so that no order matters.

    Args:
        distances: [q, n], with infinity for a point that does not count.
        labels: int64[n].
    """
    usable = int(torch.isfinite(distances).sum(1).min())
    count = max(1, min(count, usable))
    edge = distances.kthvalue(count, 1, keepdim=True).values
    same = SAME * edge
    inside = (distances < edge - same).double()
    tied = ((distances - edge).abs() <= same).double()
    left = (count - inside.sum(1, keepdim=True)) / tied.sum(1, keepdim=True)
    member = torch.nn.functional.one_hot(labels, classes).double()
    return (inside + left * tied) @ member / count
