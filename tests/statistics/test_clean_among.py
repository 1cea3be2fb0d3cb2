"""The bound on the clean among the first: exact where it can be counted, kept in worlds."""

import itertools

import numpy as np
import pytest

from mithridate.stats.clean_among import clean_among, crossing, envelope


def heads_of(draws, n, m, poison, rng):
    """Suspects above each trusted example, int64[draws, m], all poison before everything else."""
    places = np.sort(np.argsort(rng.random((draws, n - poison + m)), 1)[:, :m], 1)
    return poison + places - np.arange(m)


@pytest.mark.parametrize(("n", "m", "bounds"), [(6, 4, [2, 4]), (5, 3, [0, 5]), (4, 5, [1, 1, 3])])
def test_crossing_is_the_share_of_orders_that_cross(n, m, bounds):
    orders = list(itertools.combinations(range(n + m), m))
    crossed = [any(o[j] - j > bounds[j] for j in range(len(bounds))) for o in orders]
    assert crossing(np.array(bounds), n, m) == pytest.approx(np.mean(crossed), abs=1e-12)


def test_one_trusted_example_by_hand():
    # V_0 is uniform on 0..9, so that it exceeds 7 with probability 0.2 and 8 with 0.1.
    assert crossing(np.array([7]), 9, 1) == pytest.approx(0.2)
    assert envelope(9, 1, 0.05).tolist() == [9], "nothing less is sure enough"


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (40, 3), (154, 35), (900, 300)])
@pytest.mark.parametrize("doubt", [0.2, 0.01])
def test_the_envelope_is_kept_and_not_wasted(n, m, doubt):
    bounds = envelope(n, m, doubt)
    assert crossing(bounds, n, m) <= doubt
    assert (np.diff(bounds) >= 0).all() and bounds.max() <= n
    if n > 100:
        assert crossing(bounds - 2, n, m) > doubt, "two less everywhere would not be kept"


@pytest.mark.parametrize("poison", [0, 30, 80])
def test_bounds_of_all_lengths_hold_together_whatever_is_poisoned(poison, rng):
    n, m, worlds, doubt = 100, 30, 300, 0.1
    wrong = [
        (heads - poison > clean_among(heads, n, m, doubt)).any()
        for heads in heads_of(worlds, n, m, poison, rng)
    ]
    assert np.mean(wrong) <= doubt + 3 * np.sqrt(doubt * (1 - doubt) / worlds)
    if poison == 0:
        assert np.mean(wrong) > 0.02, "a bound that is never wrong is too wide"


def test_what_is_known_to_be_poison_makes_the_bound_of_the_rest_smaller(rng):
    n, m = 150, 40
    heads = heads_of(1, n, m, 100, rng)[0]
    bounds = clean_among(heads, n, m, 0.05)
    assert bounds[0] < envelope(n, m, 0.05)[0]
    assert (np.diff(heads - bounds) >= 0).all(), "a longer list holds the poison of a shorter one"
    assert (bounds <= heads).all()


def test_more_trusted_examples_leave_less_open():
    assert envelope(200, 200, 0.05)[0] < envelope(200, 20, 0.05)[0] / 3
