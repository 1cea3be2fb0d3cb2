"""Bounds on the number of clean examples among the first ones of a ranking.

The clean suspects of a class and its trusted examples are exchangeable, whatever poison stands
between them. So the number V_j of clean suspects above the (j + 1)-th trusted example has a known
law, and all of them together have one, too.
Axes: n suspect and m trusted examples of one class; J of these, the first ones, are used.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, gammaln

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

HALVINGS = 9
"""Steps in which the local level is sought, on a logarithmic scale."""

LONGEST = 1000
"""Lists are bounded down to so many trusted examples; twice as many are costly and help little."""

ROUNDS = 3
"""How often the number of clean suspects is bounded anew by what the last bound found."""


def clean_among(heads: Ints, n: int, m: int, doubt: float) -> Ints:
    """Bound the number of clean suspects among the first ones, for lists of all lengths at once.

    With n0 clean suspects, V_j exceeds K_j for any j with probability at most `doubt`, by counting
    paths of Polya's urn. n0 is unknown and at most n; that heads_j - K_j of the suspects are poison
    bounds it by less, and so on: on the event that the bounds for the true n0 hold, every round
    does. A longer list holds what a shorter one does, so its bound is the smallest of K_i + heads_j
    - heads_i over i <= j. Gazin, Blanchard and Roquain, Transductive conformal inference, 2023;
    Goeman and Solari, Multiple testing for exploratory research, 2011.

    Args:
        heads: int64[m], numbers of suspects that stand above the (j + 1)-th trusted example.
        doubt: the probability that any of the bounds is wrong.

    Returns:
        int64[m], at most `heads`; beyond J it is what the longest of the others leaves open.
    """
    clean, bounds = n, heads.copy()
    for _ in range(ROUNDS):
        bounds = heads.copy()
        most = envelope(clean, m, doubt)
        bounds[: len(most)] = np.minimum(heads[: len(most)], most)
        poison = np.maximum.accumulate(heads - bounds)
        if n - int(poison[-1]) >= clean or clean == 1:
            break
        clean = max(1, n - int(poison[-1]))
    return np.asarray(heads - np.maximum.accumulate(heads - bounds))


@lru_cache(maxsize=512)
def envelope(n: int, m: int, doubt: float) -> Ints:
    """Give K, int64[J], such that any V_j > K_j with a probability of at most `doubt`.

    All K_j have about the same small probability each, the largest one that is allowed. J is at
    most half of m, and at most `LONGEST`.
    """
    used = min((m + 1) // 2, LONGEST)
    low, high = np.log(doubt) - np.log(2.0 * m), np.log(doubt)
    kept = np.full(used, n)
    for _ in range(HALVINGS):
        level = (low + high) / 2
        bounds = _quantiles(n, m, used, float(np.exp(level)))
        if crossing(bounds, n, m) <= doubt:
            low, kept = level, bounds
        else:
            high = level
    kept.setflags(write=False)
    return kept


def _quantiles(n: int, m: int, used: int, level: float) -> Ints:
    """About the upper quantiles of V_j, which is beta-binomial with j + 1 and m - j.

    n times a beta variable of the same mean and variance; what it lacks is made up by `crossing`.
    """
    a = np.arange(1, used + 1, dtype=np.float64)
    b = m + 1 - a
    precision = max(0.1, (m + 2) * n / (n + m + 1) - 1)
    wide = betaincinv(a / (m + 1) * precision, b / (m + 1) * precision, 1 - level)
    bounds = np.minimum(n, np.floor(n * wide)).astype(np.int64)
    return np.asarray(np.maximum.accumulate(bounds))


def crossing(bounds: Ints, n: int, m: int) -> float:
    """Probability that V_j > bounds_j for any j, exact: paths that stay below over all paths.

    All orders of n clean suspects and m trusted examples are equally likely.

    Args:
        bounds: int64[J], never falling.

    """
    paths = np.zeros(n + 1)
    paths[: bounds[0] + 1] = 1.0
    scale = 0.0
    for bound in bounds[1:]:
        paths = np.cumsum(paths)
        paths[bound + 1 :] = 0.0
        largest = paths.max()
        paths /= largest
        scale += np.log(largest)
    left = np.arange(n, -1, -1)
    after = _ways(left, m - len(bounds))
    some = paths > 0
    staying = np.logaddexp.reduce(np.log(paths[some]) + after[some])
    return float(-np.expm1(min(0.0, staying + scale - _ways(np.array(n), m))))


def _ways(clean: NDArray[np.int64], trusted: int) -> Floats:
    """Logarithm of the number of orders of so many clean and trusted examples."""
    return np.asarray(
        gammaln(clean + trusted + 1.0) - gammaln(clean + 1.0) - gammaln(trusted + 1.0)
    )
