"""The test of one source: valid where nothing differs, right about what does and by how much."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from mithridate.stats.shifted import shifted


def groups(seed, n=60, m=30, classes=2):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n + m)
    values = rng.standard_normal((3, n + m)) + 5 * labels
    values[2] = np.round(values[2])
    return values, labels, np.arange(n + m) >= n, rng


def test_the_level_holds_where_nothing_differs():
    worlds = 200
    smallest = [shifted(*groups(s), permutations=99).adjusted.min() for s in range(worlds)]
    assert np.mean(np.array(smallest) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / worlds)
    assert np.mean(smallest) < 0.6


def test_of_one_class_the_area_is_that_of_mann_and_whitney():
    values, labels, trusted, rng = groups(0, classes=1)
    values[0, ~trusted] += 1
    tested = shifted(values, labels, trusted, rng, permutations=2000)
    wins = mannwhitneyu(values[0, ~trusted], values[0, trusted]).statistic
    assert tested.auc[0] == pytest.approx(wins / (60 * 30), abs=0.005)
    assert tested.adjusted[0] <= 0.005 < tested.adjusted[1]


def test_a_difference_between_classes_alone_is_none():
    values, labels, trusted, rng = groups(1, n=400, m=200)
    keep = (labels == 0) | ~trusted | (np.arange(600) % 5 == 0)  # classes in other proportions
    tested = shifted(values[:, keep], labels[keep], trusted[keep], rng, permutations=199)
    assert tested.adjusted.min() > 0.05


def test_units_are_compared_within_their_strata():
    values, labels, trusted, rng = groups(2, n=200, m=200, classes=1)
    strata = (rng.random(400) < np.where(trusted, 0.8, 0.2)).astype(np.int64)
    values += 3 * strata
    assert shifted(values, labels, trusted, rng, permutations=199).adjusted.min() <= 0.01
    within = shifted(values, labels, trusted, rng, strata=strata, permutations=199)
    assert within.adjusted.min() > 0.05
    assert within.auc == pytest.approx(0.5, abs=0.06)


def test_a_class_of_one_side_only_says_nothing():
    values, _, trusted, rng = groups(3)
    tested = shifted(values, trusted.astype(np.int64), trusted, rng, permutations=19)
    assert (tested.adjusted == 1).all() and (tested.auc == 0.5).all()
