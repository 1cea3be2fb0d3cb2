"""Ranks of methods over many blocks, with what the blocks can and cannot tell apart.

A block is one cell in which all methods were measured, such as an attack at one rate with one seed.
Axes: m methods, b blocks, g clusters of blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from mithridate.core.errors import MethodError

Floats = NDArray[np.float64]

RESAMPLES = 4000
"""Draws of clusters behind an interval of a mean rank."""


@dataclass(frozen=True, eq=False)
class Ranks:
    """How methods rank, 1 is the best.

    Attributes:
        mean: float64[m], mean ranks.
        low: float64[m], their intervals over new clusters of blocks.
        high: float64[m], their intervals over new clusters of blocks.
        p_value: of the Friedman test, small where the methods differ.
        critical_difference: mean ranks that lie as far apart or farther differ (Nemenyi).
        groups: positions of methods that cannot be told apart, each group as large as it can be,
            the best first; a method may be in several, and alone in one.
        blocks: number of blocks used.
        dropped: number left out, since some method has no value there.
        clusters: number of independent groups of blocks.
    """

    mean: Floats
    low: Floats
    high: Floats
    p_value: float
    critical_difference: float
    groups: tuple[tuple[int, ...], ...]
    blocks: int
    dropped: int
    clusters: int


def rank(
    scores: ArrayLike, rng: np.random.Generator, *, clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> Ranks:  # fmt: skip
    """Rank methods in every block and say which differ.

    Intervals of mean ranks are percentiles of a bootstrap over clusters, and too narrow where there
    are few (under about 15). The Friedman test and Nemenyi's critical difference take clusters as
    their blocks, within which ranks are averaged and ranked again. Where the Friedman test does not
    reject at 1 - level all methods form one group. Demsar 2006.

    Args:
        scores: float[m, b], smaller is better; equal scores share their mean rank, and a block with
            a value that is not a number is left out for all methods.
        clusters: int[b], blocks of one cluster are not independent, such as the cells of one
            attack; by default each block is its own.

    Raises:
        MethodError: unless there are two methods and two clusters that can be used.
    """
    table, groups = _check_scores(scores, clusters)
    kept = ~np.isnan(table).any(0)
    names, member = np.unique(groups[kept], return_inverse=True)
    if len(table) < 2 or len(names) < 2:
        raise MethodError(
            "ranks need at least 2 methods and 2 independent blocks in which all methods have a "
            f"value, found {len(table)} and {len(names)} ({int((~kept).sum())} blocks have none); "
            "leave out the method that is missing most"
        )
    ranks = scipy.stats.rankdata(table[:, kept], axis=0)
    sizes = np.bincount(member).astype(float)
    sums: Floats = np.stack([np.bincount(member, row) for row in ranks], 1).astype(float)
    mean: Floats = ranks.mean(1)
    again = scipy.stats.rankdata(np.round(sums / sizes[:, None], 9), axis=1).T
    p_value, apart = friedman(again), critical_difference(len(table), len(names), level)
    low, high = _bootstrap(sums, sizes, rng, level)
    alike = _runs_alike(mean, apart if p_value <= 1 - level else np.inf)
    return Ranks(mean, low, high, p_value, apart, alike, int(kept.sum()),
                 int((~kept).sum()), len(names))  # fmt: skip


def friedman(ranks: Floats) -> float:
    """P-value of the hypothesis that all methods rank alike; ranks: float64[m, b] within blocks.

    Friedman's statistic with its correction for ties, compared with the F distribution as by Iman
    and Davenport 1980, since the chi-squared one rejects too rarely. 1 where all is tied.
    """
    m, b = ranks.shape
    spread = float((ranks**2).sum()) - b * m * (m + 1) ** 2 / 4
    if spread <= 0:
        return 1.0
    sums = ranks.sum(1) - b * (m + 1) / 2
    statistic = (m - 1) * float((sums**2).sum()) / spread
    left = b * (m - 1) - statistic
    if left <= 1e-9 * statistic:  # every block ranks alike
        return 0.0
    return float(scipy.stats.f.sf((b - 1) * statistic / left, m - 1, (m - 1) * (b - 1)))


def critical_difference(methods: int, blocks: int, level: float = 0.95) -> float:
    """Difference of mean ranks at which two of m methods differ over b blocks.

    q sqrt(m (m + 1) / (6 b)), q the quantile of the studentised range of m values over sqrt(2); the
    probability of any false difference is at most 1 - level. Nemenyi 1963.
    """
    quantile = float(scipy.stats.studentized_range.ppf(level, methods, np.inf)) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * blocks)))


def _check_scores(
    scores: ArrayLike, clusters: ArrayLike | None
) -> tuple[Floats, NDArray[np.int64]]:
    table = np.asarray(scores, dtype=float)
    if table.ndim != 2:
        raise MethodError(f"scores must be [methods, blocks], found the shape {list(table.shape)}")
    blocks = table.shape[1]
    groups = np.arange(blocks) if clusters is None else np.asarray(clusters)
    if groups.shape != (blocks,):
        raise MethodError(
            f"clusters must name the cluster of each of {blocks} blocks, found the shape "
            f"{list(groups.shape)}"
        )
    return table, groups


def _bootstrap(
    sums: Floats, sizes: Floats, rng: np.random.Generator, level: float
) -> tuple[Floats, Floats]:
    """Percentiles of mean ranks over drawn clusters; sums float64[g, m] of ranks, sizes[g]."""
    clusters = len(sizes)
    drawn = rng.multinomial(clusters, np.full(clusters, 1 / clusters), RESAMPLES)
    means = (drawn @ sums) / (drawn @ sizes)[:, None]
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _runs_alike(mean: Floats, apart: float) -> tuple[tuple[int, ...], ...]:
    """Largest runs of methods, in order of mean rank, whose ends are closer than `apart`."""
    order = np.argsort(mean, kind="stable")
    ends = np.searchsorted(mean[order], mean[order] + apart - 1e-9)
    starts = [i for i in range(len(order)) if i == 0 or ends[i] > ends[i - 1]]
    return tuple(tuple(order[i : ends[i]].tolist()) for i in starts)
