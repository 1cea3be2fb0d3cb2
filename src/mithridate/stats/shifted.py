"""Do two groups differ in a property, apart from a few of their members? By ranks and permutation.

Axes: N examples, suspect and trusted together; P properties; C classes; B permutations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from mithridate.stats.enrichment import Floats, draws_within


@dataclass(frozen=True, eq=False)
class Shifted:
    """How two groups differ in each property.

    Attributes:
        auc: float64[P], the probability that a suspect has more of it than a trusted example of its
            class, 0.5 where nothing differs.
        adjusted: float64[P], p-values with the probability of any false one controlled.

    """

    auc: Floats
    adjusted: Floats


def shifted(
    values: Floats,
    labels: NDArray[np.int64],
    trusted: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    strata: NDArray[np.int64] | None = None,
    permutations: int = 1999,
) -> Shifted:
    """Compare the properties of suspects and trusted examples within classes.

    The area under the curve of each class is averaged with the weight n m / (n + m) (van Elteren
    1960), and its distance from what permuting within classes and strata gives is ranked, in
    standard deviations, the largest over all properties (Westfall and Young 1993).

    Args:
        values: float64[P, N].
        labels: int64[N].
        trusted: bool[N].
        rng: Of the permutations.
        strata: int64[N], where only examples of a class with the same number are exchangeable.
        permutations: How many are drawn.

    """
    measured = np.zeros(len(values))
    null = np.zeros((permutations, len(values)))
    weights = 0.0
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        inside = trusted[rows]
        m, n = int(inside.sum()), int((~inside).sum())
        if not m or not n:
            continue
        weight = n * m / (n + m)
        ranks = scipy.stats.rankdata(values[:, rows], axis=1)
        kind = np.zeros(len(rows), dtype=np.int64) if strata is None else strata[rows]
        draws = draws_within(inside, kind, permutations, rng)
        measured += weight * _auc(ranks[:, inside].sum(1), n, m)
        null += weight * np.stack([_auc(rank[draws].sum(1), n, m) for rank in ranks], 1)
        weights += weight
    if not weights:
        return Shifted(np.full(len(values), 0.5), np.ones(len(values)))
    measured, null = measured / weights, null / weights
    centre, spread = null.mean(0), np.maximum(null.std(0), 1e-12)
    highest = np.abs((null - centre) / spread).max(1)
    far = np.abs((measured - centre) / spread)
    adjusted = (1 + (highest[:, None] >= far).sum(0)) / (permutations + 1)
    return Shifted(np.clip(0.5 + measured - centre, 0, 1), np.asarray(adjusted))


def _auc(rank_sum: Floats, n: int, m: int) -> Floats:
    """From the sum of the ranks of m trusted examples to the share of pairs that a suspect wins."""
    return np.asarray(1 - (rank_sum - m * (m + 1) / 2) / (n * m))
