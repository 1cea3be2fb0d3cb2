"""What detectors share that treat every class by itself: its rows, its centre, its main directions.

All of it is symmetric in the examples: their order changes results by rounding at most.
Axes: n examples of one class, d features, k directions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, cg, eigsh

from mithridate.core.errors import DataError

FEWEST = 4
"""A class with fewer examples is not judged: two clusters or a direction of three mean nothing."""

DENSE = 128
"""Up to this size a full decomposition is as fast as an iteration."""

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

    Raises DataError where a feature is not finite.
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
        centred = block.double() - mean
        total.addmm_(centred.T, centred)
    return total


def resolution(mean: torch.Tensor) -> float:
    """The smallest spread that 32-bit features around a mean can express."""
    return 1e-6 * float(mean.abs().max())


def main_directions(
    rows: torch.Tensor, mean: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find up to `count` directions of largest variance and the spread along each.

    rows: float[n, d]; mean: float64[d]. Returns float64[d, k], orthonormal, the widest first, and
    the standard deviations float64[k]; directions without spread are left out. Each is right to 3 %
    of its variance, enough for clusters; use `scatter` where more is needed.
    """
    found = _block_lanczos(rows, mean, count) if min(rows.shape) > max(DENSE, 8 * count) else None
    values, vectors = _dense(rows, mean) if found is None else found
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    spread = (values.clamp_min(0) / len(rows)).sqrt()
    wide = spread > resolution(mean)
    return vectors[:, wide], spread[wide]


def main_direction(rows: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Find the direction v of largest variance, float64[d]; zero where the rows do not differ.

    rows: float[n, d]; mean: float64[d]. With A the scatter matrix and l = v'Av, either it is
    certified that |Av - lv| <= 1e-10 l in 64 bits, or A is formed and decomposed in full.
    """
    found = _certified(rows, mean) if min(rows.shape) > DENSE else None
    if found is None:
        values, vectors = _dense(rows, mean)
        found = float(values[-1]), vectors[:, -1]
    value, direction = found
    constant = value <= len(rows) * resolution(mean) ** 2
    return torch.zeros_like(mean) if constant else upright(direction)


def upright(direction: torch.Tensor) -> torch.Tensor:
    """Turn a direction, whose sign is arbitrary, so that its largest component is positive."""
    return direction * torch.sign(direction[direction.abs().argmax()])


def _dense(rows: torch.Tensor, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Decompose the scatter matrix in full, through the smaller of rows and features."""
    if len(rows) >= len(mean):
        values, vectors = torch.linalg.eigh(scatter(rows, mean))
        return values, vectors
    centred = rows.double() - mean
    _, spreads, directions = torch.linalg.svd(centred, full_matrices=False)
    return spreads.square().flip(0), directions.flip(0).T


def _times(rows: torch.Tensor, mean: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Multiply the scatter matrix by vectors [k, d] in their precision, without forming it.

    Both passes over a block of rows are made while it is in the cache. Vectors lie in rows because
    products with few columns are slow. Returns float64[k, d].
    """
    shift, total = vectors @ mean.to(vectors.dtype)[:, None], torch.zeros_like(vectors)
    for block in rows.split(BLOCK):
        wide = block.to(vectors.dtype)
        total.addmm_((vectors @ wide.T).sub_(shift), wide)
    return total.double()  # the mean's share is nothing: centred rows sum to zero


def _start(size: int, count: int) -> torch.Tensor:
    """A fixed start of an iteration, so that nothing depends on chance or on the order."""
    return torch.from_numpy(np.random.default_rng(0).standard_normal((size, count)))


def _block_lanczos(
    rows: torch.Tensor, mean: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Find `count` main directions in a Krylov space that grows until it holds them.

    A block of vectors needs as few passes over the rows as it has steps. Gives eigenvalues
    float64[count] and vectors float64[d, count], or None where the space grows too large, as with
    many directions of nearly the same variance. Golub and Underwood 1977.
    """
    block = torch.linalg.qr(_start(len(mean), count))[0]
    basis, products = block, block[:, :0]
    while basis.shape[1] <= min(16 * count, len(mean) // 2):
        product = _times(rows, mean, block.T.float()).T
        products = torch.cat([products, product], 1)
        inside = basis.T @ products
        values, vectors = torch.linalg.eigh((inside + inside.T) / 2)
        values, vectors = values[-count:], vectors[:, -count:]
        missed = products @ vectors - (basis @ vectors) * values
        if (missed.norm(dim=0) <= 0.03 * values.clamp_min(1e-5 * values[-1])).all():
            return values, basis @ vectors
        for _ in range(2):  # once is not enough in floating point
            product = product - basis @ (basis.T @ product)
        block = torch.linalg.qr(product)[0]
        basis = torch.cat([basis, block], 1)
    return None


def _certified(rows: torch.Tensor, mean: torch.Tensor) -> tuple[float, torch.Tensor] | None:
    """Find the main direction by Krylov steps in 32 bits, corrected and certified in 64 bits.

    Each round measures the residual r = Av - lv in 64 bits and solves (l - A) s = r among the
    directions at right angles to v in 32 bits (Jacobi and Davidson; Sleijpen and van der Vorst
    1996). Gives l and v, or None where the certificate is not reached, as with two equal largest
    variances.
    """

    def rough(vector: Any) -> Any:
        return _times(rows, mean, torch.from_numpy(vector.reshape(1, -1)).float())[0].numpy()

    start = _start(len(mean), 1)[:, 0].numpy()
    try:
        operator = _operator(len(mean), rough)
        lowest, vectors = eigsh(operator, k=1, ncv=8, tol=1e-5, v0=start, maxiter=40)
    except ArpackError:  # no convergence, or rows that do not differ
        return None
    direction = vectors[:, 0].copy()
    for _ in range(4):
        applied = _times(rows, mean, torch.from_numpy(direction[None]))[0].numpy()
        value = float(direction @ applied)
        residual = applied - value * direction
        if not value > (1 - 1e-5) * lowest[0]:  # slid to another direction, or not a number
            return None
        if np.linalg.norm(residual) <= 1e-10 * value:
            return value, torch.from_numpy(direction)
        step = _correction(rough, direction, value, residual)
        direction = (direction + step) / np.linalg.norm(direction + step)
    return None


def _correction(rough: Callable[[Any], Any], direction: Any, value: float, residual: Any) -> Any:
    def product(vector: Any) -> Any:
        inside = vector - direction * (direction @ vector)
        applied = value * inside - rough(inside)
        return applied - direction * (direction @ applied)

    return cg(_operator(len(direction), product), residual, rtol=1e-5, maxiter=100)[0]


def _operator(size: int, product: Callable[[Any], Any]) -> Any:
    return LinearOperator((size, size), matvec=product, dtype=np.float64)
