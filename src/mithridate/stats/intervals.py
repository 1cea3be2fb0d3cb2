"""Intervals for what was measured.

Axes: n repetitions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """An estimate with its interval and the number of observations behind it."""

    value: float
    low: float
    high: float
    n: int


def proportion(successes: int, n: int, level: float = 0.95) -> Interval:
    """Clopper-Pearson interval of a proportion; covers at least `level` whatever the truth.

    With n = 0 the interval is 0..1 and the value not a number. Clopper and Pearson 1934.
    """
    if n == 0:
        return Interval(float("nan"), 0.0, 1.0, 0)
    interval = scipy.stats.binomtest(successes, n).proportion_ci(level, method="exact")
    return Interval(successes / n, float(interval.low), float(interval.high), n)


def mean(values: ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval of a mean; with fewer than two values it is unbounded.

    Student 1908.

    Args:
        values: float[n], not-a-number entries are left out.
    """
    data = np.asarray(values, dtype=float)
    data = data[~np.isnan(data)]
    n = len(data)
    if n < 2:
        return Interval(float(data[0]) if n else float("nan"), -np.inf, np.inf, n)
    centre = float(data.mean())
    half = float(scipy.stats.t.ppf((1 + level) / 2, n - 1) * data.std(ddof=1) / np.sqrt(n))
    return Interval(centre, centre - half, centre + half, n)
