"""The main directions of many rows, in a few passes over them and without a full decomposition.

Rough arithmetic in 32 bits finds them; a residual in 64 bits says whether they are right.
Axes: n rows, d features, k directions. A is the scatter matrix, sum_i (x_i - m)(x_i - m)'.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, cg, eigsh

SMALL = 128
"""Up to this number of rows or features a full decomposition is as fast."""

BLOCK = 512
"""Rows turned to 64 bits at a time, few enough to stay in the processor's cache."""


def rough_directions(
    rows: torch.Tensor, mean: torch.Tensor, count: int
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Find the `count` largest eigenvalues of A, ascending, and their vectors float64[d, count].

    A Krylov space grows by `count` vectors with each pass over the rows, until the residual of each
    vector is at most a tenth of its eigenvalue (Golub and Underwood 1977). None where the space
    grows too large or the data are small.
    """
    if min(rows.shape) <= max(SMALL, 8 * count):
        return None
    narrow, middle = rows.float(), mean.float()
    block = torch.linalg.qr(_start(len(mean), count))[0]
    basis, products = block, block[:, :0]
    while basis.shape[1] <= min(16 * count, len(mean) // 2):
        with _quick_products():
            product = _times(narrow, middle, block.T.float()).T
        products = torch.cat([products, product], 1)
        inside = basis.T @ products
        values, vectors = torch.linalg.eigh((inside + inside.T) / 2)
        values, vectors = values[-count:], vectors[:, -count:]
        missed = products @ vectors - (basis @ vectors) * values
        if (missed.norm(dim=0) <= 0.1 * values.clamp_min(1e-5 * values[-1])).all():
            return values, basis @ vectors
        for _ in range(2):  # once is not enough in floating point
            product = product - basis @ (basis.T @ product)
        block = torch.linalg.qr(product)[0]
        basis = torch.cat([basis, block], 1)
    return None


def certified_direction(
    rows: torch.Tensor, mean: torch.Tensor
) -> tuple[float, torch.Tensor] | None:
    """Find the largest eigenvalue l of A and its vector v, with |Av - lv| <= 1e-9 l in 64 bits.

    First by passes over the rows. Where many variances are nearly as large as the largest, those
    lead to no end; then A is formed in 32 bits, which costs more at once and less for every step.
    None where neither reaches the certificate or the data are small.
    """
    if min(rows.shape) <= SMALL:
        return None
    for rough, space, rounds in ((_by_rows, 8, 2), (_by_matrix, 20, 30)):
        apply, start = rough(rows, mean), _start(len(mean), 1)[:, 0].numpy()
        with contextlib.suppress(ArpackError):  # no end, or rows that do not differ
            operator = _operator(len(mean), apply)
            lowest, vectors = eigsh(operator, k=1, ncv=space, tol=1e-5, v0=start, maxiter=rounds)
            corrected = _correct(rows, mean, apply, vectors[:, 0].copy())
            # rough values lie below the largest variance, up to their rounding: a smaller one
            # belongs to another direction
            if corrected and corrected[0] > (1 - 1e-5) * float(lowest[0]):
                return corrected
    return None


def gram_matrix(rows: torch.Tensor) -> torch.Tensor:
    """Give rows' rows of float[n, d], computing little more than one of its equal halves."""
    d = rows.shape[1]
    total = torch.zeros(d, d, dtype=rows.dtype)
    for first in range(0, d, SMALL):
        columns = slice(first, first + SMALL)
        total[columns, first:] = rows[:, columns].T @ rows[:, first:]
    return total.triu() + total.triu(1).T


Apply = Callable[[Any], Any]
"""Multiplies a vector float64[d] by A, roughly."""


def _by_rows(rows: torch.Tensor, mean: torch.Tensor) -> Apply:
    narrow, middle = rows.float(), mean.float()
    return lambda vector: _times(narrow, middle, _row(vector).float())[0].numpy()


def _by_matrix(rows: torch.Tensor, mean: torch.Tensor) -> Apply:
    centred = rows.float() - mean.float()
    with _quick_products():
        matrix = gram_matrix(centred)
    return lambda vector: (_row(vector).float() @ matrix)[0].double().numpy()


def _row(vector: Any) -> torch.Tensor:
    return torch.from_numpy(vector.reshape(1, -1))


def _correct(
    rows: torch.Tensor, mean: torch.Tensor, apply: Apply, direction: Any
) -> tuple[float, torch.Tensor] | None:
    """Correct a direction until its residual r = Av - lv is nothing in 64 bits, or give up.

    Each round solves (l - A) s = r among the directions at right angles to v, roughly (Jacobi and
    Davidson; Sleijpen and van der Vorst 1996). A direction that passes is corrected once more,
    for the sake of scores near zero, where the smallest error of v is large beside the score.
    """
    for _ in range(6):
        applied = _times(rows, mean, _row(direction))[0].numpy()
        value = float(direction @ applied)
        residual = applied - value * direction
        if not value > 0:
            return None
        passed = np.linalg.norm(residual) <= 1e-9 * value
        step = _correction(apply, direction, value, residual, 1e-2 if passed else 1e-4)
        direction = (direction + step) / np.linalg.norm(direction + step)
        if passed:
            return value, torch.from_numpy(direction)
    return None


def _correction(apply: Apply, direction: Any, value: float, residual: Any, within: float) -> Any:
    def product(vector: Any) -> Any:
        inside = vector - direction * (direction @ vector)
        applied = value * inside - apply(inside)
        return applied - direction * (direction @ applied)

    if not residual.any():
        return residual
    return cg(_operator(len(direction), product), residual, rtol=within, maxiter=100)[0]


def _times(rows: torch.Tensor, mean: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Multiply vectors [k, d] by A in their precision, float64[k, d]; A is never formed.

    Both passes over a block of rows are made while it is in the cache; rows that need no widening
    come in larger blocks. Vectors lie in rows, since products with few columns are slow.
    """
    shift, total = vectors @ mean.to(vectors.dtype)[:, None], torch.zeros_like(vectors)
    for block in rows.split(BLOCK if rows.dtype != vectors.dtype else 4 * BLOCK):
        wide = block.to(vectors.dtype)
        total.addmm_((vectors @ wide.T).sub_(shift), wide)
    return total.double()  # the mean's share is nothing: centred rows sum to zero


def _start(size: int, count: int) -> torch.Tensor:
    """A fixed start of an iteration, so that nothing depends on chance or on the order."""
    return torch.from_numpy(np.random.default_rng(0).standard_normal((size, count)))


def _operator(size: int, product: Apply) -> Any:
    return LinearOperator((size, size), matvec=product, dtype=np.float64)


@contextlib.contextmanager
def _quick_products() -> Iterator[None]:
    """Let oneDNN multiply matrices, which is twice as fast as MKL on some processors.

    Others round to 16 bits here, so nothing may rest on such products unchecked.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
