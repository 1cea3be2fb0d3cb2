"""What detectors share that treat every class by itself: its rows, its centre, its main directions.

All of it is symmetric in the examples: their order changes results by rounding at most.
Axes: n examples of one class, d features, k directions.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from mithridate.core.errors import DataError
from mithridate.stats.krylov import certified_direction, gram_matrix, rough_directions

FEWEST = 4
"""A class with fewer examples is not judged: two clusters or a direction of three mean nothing."""

BLOCK = 512
"""Rows turned to 64 bits at a time, few enough to stay in the processor's cache."""


def by_class(labels: torch.Tensor, fewest: int = FEWEST) -> Iterator[tuple[int, torch.Tensor]]:
    """Give every class with at least `fewest` examples and the positions of its rows, int64[n]."""
    order = torch.argsort(labels, stable=True)
    counts = torch.bincount(labels).tolist()
    for label, rows in enumerate(order.split(counts)):
        if len(rows) >= max(fewest, 1):
            yield label, rows


def centre(rows: torch.Tensor) -> torch.Tensor:
    """Give the mean of rows float[n, d] in 64 bits, float64[d].

    Raises:
        DataError: where a feature is not finite.
    """
    total = torch.zeros(rows.shape[1], dtype=torch.float64)
    for block in rows.split(BLOCK):
        total += torch.mv(block.double().T, torch.ones(len(block), dtype=torch.float64))
    if not torch.isfinite(total).all():
        bad = (~torch.isfinite(rows).all(1)).nonzero().flatten()
        raise DataError(
            f"features must be finite, found {len(bad)} examples of one class with values that are "
            "not; was the network trained with too high a learning rate?"
        )
    return total / len(rows)


def scatter(rows: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Give sum_i (x_i - mean)(x_i - mean)' of rows float[n, d], float64[d, d]."""
    total = torch.zeros(len(mean), len(mean), dtype=torch.float64)
    for block in rows.split(8 * BLOCK):
        total += gram_matrix(block.double() - mean)
    return total


def resolution(mean: torch.Tensor) -> float:
    """The smallest spread that 32-bit features around a mean can express."""
    return 1e-6 * float(mean.abs().max())


def main_directions(
    rows: torch.Tensor, mean: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find up to `count` directions of largest variance and the spread along each.

    Returns float64[d, k], orthonormal, the widest first, and the standard deviations float64[k];
    directions without spread are left out. Each is right to 10 % of its variance, enough for
    clusters; use `scatter` where more is needed.

    Args:
        rows: float[n, d].
        mean: float64[d].
    """
    values, vectors = rough_directions(rows, mean, count) or _decomposed(rows, mean)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    spread = (values.clamp_min(0) / len(rows)).sqrt()
    wide = spread > resolution(mean)
    return vectors[:, wide], spread[wide]


def main_direction(rows: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Find the direction v of largest variance, float64[d]; zero where the rows do not differ.

    With A the scatter matrix and l = v'Av, either it is certified that |Av - lv| <= 1e-9 l in 64
    bits, or A is decomposed in full.

    Args:
        rows: float[n, d].
        mean: float64[d].
    """
    certified = certified_direction(rows, mean)
    if certified is None:
        values, vectors = _decomposed(rows, mean)
        certified = float(values[-1]), vectors[:, -1]
    value, direction = certified
    constant = value <= len(rows) * resolution(mean) ** 2
    return torch.zeros_like(mean) if constant else upright(direction)


def upright(direction: torch.Tensor) -> torch.Tensor:
    """Turn a direction, whose sign is arbitrary, so that its largest component is positive."""
    return direction * torch.sign(direction[direction.abs().argmax()])


def _decomposed(rows: torch.Tensor, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Decompose the scatter matrix in full, through the smaller of rows and features."""
    if len(rows) >= len(mean):
        values, vectors = torch.linalg.eigh(scatter(rows, mean))
        return values, vectors
    centred = rows.double() - mean
    _, spreads, directions = torch.linalg.svd(centred, full_matrices=False)
    return spreads.square().flip(0), directions.flip(0).T
