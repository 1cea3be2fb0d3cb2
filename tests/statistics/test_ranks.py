"""Ranks: the example of Demsar 2006, by hand, and intervals that cover."""

import numpy as np
import pytest
from scipy import stats

from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.stats.ranks import _bootstrap, critical_difference, friedman, rank

DEMSAR = np.array(
    [
        [4, 1, 4, 4, 4, 1, 3, 2.5, 4, 2.5, 4, 3, 4, 3],
        [3, 2, 1, 1, 2, 2.5, 2, 2.5, 3, 2.5, 2.5, 2, 1, 1],
        [2, 3, 2, 3, 3, 4, 4, 4, 2, 2.5, 1, 4, 2, 4],
        [1, 4, 3, 2, 1, 2.5, 1, 1, 1, 2.5, 2.5, 1, 3, 2],
    ]
)
"""Ranks of C4.5, with m, with cf, with both, on 14 data sets: table 6 of the paper."""


def test_the_published_example(rng):
    """Average ranks, and the Nemenyi test as the paper reports it at 0.10 and 0.05."""
    found = rank(DEMSAR, rng, level=0.9)
    assert found.mean == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert found.critical_difference == pytest.approx(1.12, abs=0.005)
    assert found.groups == ((3, 1, 2), (2, 0))  # C4.5 is worse than with m and with both
    strict = rank(DEMSAR, rng, level=0.95)
    assert strict.critical_difference == pytest.approx(1.25, abs=0.005)
    assert strict.groups == ((3, 1, 2, 0),)
    assert (strict.blocks, strict.dropped, strict.clusters) == (14, 0, 14)


@pytest.mark.parametrize(
    "methods, quantile", [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (10, 3.164)]
)
def test_critical_values_are_the_published_ones(methods, quantile):
    scale = np.sqrt(methods * (methods + 1) / 6 / 30)
    assert critical_difference(methods, 30) == pytest.approx(quantile * scale, abs=5e-4)


def test_friedman_by_hand():
    """Three methods, four blocks, rank sums 4, 9, 11: chi-squared 6.5, F = 3 * 6.5 / (8 - 6.5)."""
    ranks = np.array([[1.0, 1, 1, 1], [2, 2, 3, 2], [3, 3, 2, 3]])
    assert friedman(ranks) == pytest.approx(stats.f.sf(13.0, 2, 6))


def test_friedman_with_ties_has_the_statistic_of_scipy():
    chi = stats.friedmanchisquare(*DEMSAR).statistic
    assert friedman(DEMSAR) == pytest.approx(stats.f.sf(13 * chi / (42 - chi), 3, 39))


def test_friedman_at_its_ends():
    assert friedman(np.full((3, 5), 2.0)) == 1.0
    assert friedman(np.tile([[1.0], [2], [3]], (1, 5))) == 0.0


def test_friedman_rejects_at_its_level_where_methods_are_alike():
    rng = stream(0, "friedman")
    found = [friedman(stats.rankdata(rng.random((4, 15)), axis=0)) for _ in range(2000)]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.015)


def test_a_block_with_a_missing_value_is_left_out_for_all(rng):
    scores = np.array([[1.0, 1, np.nan, 1], [2, 2, 0, 2], [3, 3, 1, 3]])
    found = rank(scores, rng)
    assert (found.blocks, found.dropped) == (3, 1)
    assert found.mean.tolist() == [1, 2, 3]
    assert found.low.tolist() == found.high.tolist() == [1, 2, 3]
    assert found.p_value == 0.0


def test_equal_scores_share_a_rank(rng):
    found = rank([[0.5, 0.5], [0.5, 0.1], [0.9, 0.9]], rng)
    assert found.mean.tolist() == [1.75, 1.25, 3.0]


def test_groups_hold_what_lies_close_and_may_overlap(rng):
    """Fifty blocks, critical difference 0.66: methods 0 and 1 swap, 3 comes last."""
    scores = np.tile([[1.0], [1.1], [2.0], [9.0]], (1, 50))
    scores[:2, :20] = scores[1::-1, :20]
    found = rank(scores, rng)
    assert found.mean.tolist() == [1.4, 1.6, 3.0, 4.0]
    assert found.groups == ((0, 1), (2,), (3,))


def test_copies_of_a_block_in_one_cluster_add_no_evidence(rng):
    single = stream(0, "scores").random((3, 20)) + np.array([[0.0], [0.2], [0.3]])
    copied = np.repeat(single, 5, axis=1)
    once = rank(single, stream(0, "draws"))
    again = rank(copied, stream(0, "draws"), clusters=np.repeat(np.arange(20), 5))
    blind = rank(copied, rng)
    assert np.array_equal(once.low, again.low)
    assert (once.p_value, once.groups) == (again.p_value, again.groups)
    assert (again.blocks, again.clusters) == (100, 20)
    assert np.all(blind.high - blind.low < 0.6 * (again.high - again.low))
    assert blind.p_value < again.p_value


def test_intervals_of_mean_ranks_cover():
    """Two methods, the first better with probability 0.7: mean rank 1.3; 30 clusters of 3."""
    rng = stream(0, "coverage")
    covered, worlds = 0, 500
    for _ in range(worlds):
        wins = rng.random(30) < 0.7
        sums = 3 * np.stack([2 - wins, 1 + wins], axis=1)
        low, high = _bootstrap(sums, np.full(30, 3.0), rng, 0.95)
        covered += low[0] - 1e-9 <= 1.3 <= high[0] + 1e-9
    assert 0.91 <= covered / worlds <= 0.98


@pytest.mark.parametrize(
    "scores, clusters",
    [
        (np.zeros(4), None),
        (np.zeros((1, 4)), None),
        (np.zeros((3, 1)), None),
        (np.zeros((3, 4)), np.zeros(4, int)),
        (np.zeros((3, 4)), np.zeros(3, int)),
        (np.full((3, 4), np.nan), None),
    ],
)
def test_too_little_to_rank_is_refused(scores, clusters, rng):
    with pytest.raises(MethodError):
        rank(scores, rng, clusters=clusters)
