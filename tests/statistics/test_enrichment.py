"""The test of suspects against trusted examples: valid on clean worlds, able to see poison."""

import numpy as np
import pytest
from scipy.stats import false_discovery_control

import mithridate.stats.enrichment as stats_enrichment
from mithridate.stats.enrichment import (
    _step_down,
    _surprise,
    benjamini_hochberg,
    enrichment,
    fewest_permutations,
)


def world(seed, n=120, m=40, classes=3, rankings=3, poisons=0, shift=4.0, ties=False):
    """Scores of suspects and trusted examples; the rankings are correlated as detectors are."""
    rng = np.random.default_rng(seed)
    total = n + m + poisons
    labels = rng.integers(0, classes, total)
    trusted = np.zeros(total, dtype=bool)
    trusted[n : n + m] = True
    scores = rng.standard_normal((rankings, total)) + rng.standard_normal(total)
    labels[n + m :] = 0
    scores[0, n + m :] += shift
    if ties:
        scores = np.round(scores)
    return scores, labels, trusted, classes, rng


@pytest.mark.parametrize("ties", [False, True])
def test_p_value_is_valid_on_clean_worlds(ties):
    worlds = 400
    p_values = np.array(
        [enrichment(*world(s, ties=ties), permutations=99).p_value for s in range(worlds)]
    )
    for level in (0.05, 0.2, 0.5):
        share = (p_values <= level).mean()
        allowed = level + 3 * np.sqrt(level * (1 - level) / worlds)
        assert share <= allowed, f"{share:.3f} of clean worlds rejected at {level}"
    assert p_values.mean() < 0.6  # a test that never rejects would be valid and useless


def test_poison_on_top_of_one_ranking_is_found_in_its_class():
    found = [enrichment(*world(s, poisons=60, shift=8.0), permutations=199) for s in range(20)]
    assert np.mean([f.p_value <= 0.05 for f in found]) >= 0.9
    best = [np.unravel_index(f.adjusted.argmin(), f.adjusted.shape) for f in found]
    assert np.mean([place == (0, 0) for place in best]) >= 0.9


def test_as_many_perfect_strangers_as_visible_are_seen():
    scores, labels, trusted, classes, rng = world(0)
    visible = int(enrichment(scores, labels, trusted, classes, rng, permutations=999).visible[1])
    more = np.concatenate([scores, np.full((len(scores), 2 * visible), 1e6)], axis=1)
    labels = np.concatenate([labels, np.ones(2 * visible, dtype=labels.dtype)])
    trusted = np.concatenate([trusted, np.zeros(2 * visible, dtype=bool)])
    found = enrichment(more, labels, trusted, classes, rng, permutations=999)
    assert found.adjusted[:, 1].max() <= 0.05


@pytest.mark.parametrize("level", [0.2, 0.05, 0.01, 0.001])
def test_with_one_permutation_less_than_the_fewest_nothing_is_visible(level):
    fewest = fewest_permutations(level)
    scores = world(0)
    assert np.isinf(enrichment(*scores, level=level, permutations=fewest - 1).visible).all()
    assert np.isfinite(enrichment(*scores, level=level, permutations=fewest).visible).all()


def test_a_class_without_trusted_examples_is_never_rejected_and_nothing_is_visible_in_it():
    scores, labels, trusted, classes, rng = world(0, poisons=60)
    trusted[labels == 0] = False
    found = enrichment(scores, labels, trusted, classes, rng, permutations=99)
    assert (found.adjusted[:, 0] == 1).all()
    assert np.isinf(found.visible[0])
    assert np.isfinite(found.visible[1:]).all()


def test_few_trusted_examples_cannot_see_what_many_can():
    few = enrichment(*world(0, n=300, m=12), permutations=199).visible
    many = enrichment(*world(0, n=300, m=120), permutations=199).visible
    assert (many < few).all()


def test_surprise_of_one_trusted_example_is_the_share_below_it():
    # One trusted example of ten at rank t: P(uniform > t / 10), by hand.
    for rank in range(10):
        assert _surprise(np.array([rank]), 10) == pytest.approx(1 - rank / 10)


def test_surprise_is_the_smallest_binomial_tail():
    # Five trusted of 1000: before the j-th of them lie 10, 30 and 60 % of all; by hand, the
    # binomial probabilities that at most j of five uniform places lie there.
    ranks = np.array([100, 300, 600, 800, 900])
    tails = [
        0.9**5,
        0.7**5 + 5 * 0.3 * 0.7**4,
        0.4**5 + 5 * 0.6 * 0.4**4 + 10 * 0.6**2 * 0.4**3,
    ]
    exact = min(tails)
    assert _surprise(ranks, 1000) == pytest.approx(exact, rel=1e-9)


def test_classes_are_rejected_step_by_step():
    # Class 1 is the most suspicious one; the null of the others is computed without it.
    observed = np.array([[0.04, 0.001, 0.3], [0.02, 0.01, 0.5]])
    null = np.array([[0.03, 0.1, 0.2, 0.4], [0.005, 0.2, 0.01, 0.3], [0.6, 0.5, 0.015, 0.9]])
    adjusted, alone = _step_down(observed, null)
    assert adjusted[:, 1].tolist() == [1 / 5, 3 / 5], "among the smallest of all three"
    assert adjusted[:, 0].tolist() == [3 / 5, 2 / 5], "without class 1"
    assert adjusted[:, 2].tolist() == [2 / 5, 3 / 5], "without both"
    assert alone.tolist() == [1 / 5, 1 / 5, 2 / 5]


def test_benjamini_hochberg_agrees_with_scipy():
    rng = np.random.default_rng(0)
    for _ in range(50):
        p_values = rng.random(40) ** rng.integers(1, 6)
        expected = false_discovery_control(p_values) <= 0.1
        assert (benjamini_hochberg(p_values, 0.1) == expected).all()
    assert not benjamini_hochberg(np.array([]), 0.1).any()


def test_tails_from_a_table_are_those_computed_one_by_one(monkeypatch):
    rng = np.random.default_rng(5)
    scores, labels = rng.random((2, 90)), np.arange(90) % 2
    trusted = rng.random(90) < 0.3
    both = []
    for table in (8192, 0):
        monkeypatch.setattr(stats_enrichment, "TABLE", table)
        rng = np.random.default_rng(6)
        both.append(enrichment(scores, labels, trusted, 2, rng, permutations=99))
    assert (both[0].adjusted == both[1].adjusted).all()
    assert (both[0].visible == both[1].visible).all()
