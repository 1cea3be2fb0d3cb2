"""Intervals cover what they say, on worlds whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from mithridate.stats.intervals import mean, proportion


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 5, 20, 100])
def test_the_interval_of_a_proportion_covers_at_least_its_level(n, level):
    """Exactly: the probability of every outcome, summed over those whose interval covers."""
    found = [proportion(k, n, level) for k in range(n + 1)]
    low, high = (np.array([getattr(i, side) for i in found]) for side in ("low", "high"))
    for truth in np.linspace(0.001, 0.999, 333):
        chance = stats.binom.pmf(np.arange(n + 1), n, truth)
        assert chance[(low <= truth) & (truth <= high)].sum() >= level - 1e-9


def test_the_interval_of_a_proportion_by_hand():
    none = proportion(0, 10)
    assert (none.value, none.low, none.n) == (0.0, 0.0, 10)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert proportion(10, 10).low == pytest.approx(0.025 ** (1 / 10))
    nothing = proportion(0, 0)
    assert np.isnan(nothing.value)
    assert (nothing.low, nothing.high) == (0.0, 1.0)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_the_interval_of_a_mean_covers_its_level(n, rng):
    """Normal worlds, 4,000 of them: 95 % give or take four standard errors."""
    found = [mean(sample) for sample in rng.normal(3.0, 2.0, (4000, n))]
    covered = np.mean([i.low <= 3.0 <= i.high for i in found])
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))


def test_the_interval_of_a_mean_by_hand():
    found = mean([1.0, 2.0, 3.0, np.nan])
    half = 4.302653 * 1.0 / np.sqrt(3)
    assert found.n == 3
    assert (found.low, found.value, found.high) == pytest.approx((2 - half, 2.0, 2 + half))
    for few in ([], [1.0]):
        assert (mean(few).low, mean(few).high) == (-np.inf, np.inf)
