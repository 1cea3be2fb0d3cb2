"""One order out of several: blind to who is trusted, led by what agrees."""

import numpy as np
import pytest

from mithridate.stats.agreement import evidence, led


def world(rng, n=400, poison=60, shifts=(3.0, 3.0, 0.0, -3.0)):
    """Scores of rankings of which two see the poison, one does not and one is upside down."""
    scores = rng.standard_normal((len(shifts), n))
    scores[:, :poison] += np.array(shifts)[:, None]
    return scores


def test_rankings_that_agree_share_the_lead_and_others_get_nothing(rng):
    _, weights = led(world(rng))
    assert weights.sum(1) == pytest.approx(np.ones(4))
    assert weights[0, 1] > 0.15 and weights[1, 0] > 0.15
    assert weights[0, 2] < 0.02 and weights[0, 3] < 0.02
    assert weights[3, 3] > 0.9


def test_two_that_see_the_poison_rank_better_together(rng):
    def missed(order):
        return (np.argsort(np.argsort(-order))[:60] >= 60).mean()

    scores = world(rng, shifts=(2.0, 2.0, 0.0, -2.0))
    combined, _ = led(scores)
    assert missed(combined[0]) < min(missed(scores[0]), missed(scores[1]))


def test_the_order_of_the_examples_plays_no_part(rng):
    scores, shuffled = world(rng), rng.permutation(400)
    combined, weights = led(scores)
    again, same = led(scores[:, shuffled])
    np.testing.assert_allclose(again, combined[:, shuffled])
    np.testing.assert_allclose(same, weights)


def test_one_ranking_keeps_its_order_and_its_ties(rng):
    scores = np.round(rng.standard_normal((1, 50)), 1)
    combined, weights = led(scores)
    assert weights.tolist() == [[1.0]]
    for i in range(50):
        assert ((scores[0] > scores[0, i]) == (combined[0] > combined[0, i])).all()


def test_a_constant_ranking_has_no_weight_and_no_evidence(rng):
    scores = world(rng)
    scores[1] = 0.5
    _, weights = led(scores)
    assert weights[0, 1] < 1e-20 and np.isfinite(weights).all()
    trusted = np.arange(400) >= 300
    assert evidence(scores[1], trusted, np.array([0, 1, 2])) == 0


def test_evidence_by_hand():
    # Two trusted of ten behind eight suspects: the first place is 8 of 10, none above it is
    # expected to be so with 0.2 ** 2, and KL(0 || 0.8) = -ln 0.2.
    scores = -np.arange(10.0)
    trusted = np.arange(10) >= 8
    assert evidence(scores, trusted, np.array([0])) == pytest.approx(-2 * np.log(0.2))
    assert evidence(-scores, trusted, np.array([0, 1])) == 0
