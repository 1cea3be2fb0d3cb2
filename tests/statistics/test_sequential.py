"""The sequential test: a value by hand, its error rates, and what stopping early saves."""

import math

import pytest
import torch

from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.stats.sequential import rate_test


def trials(rate, n=4000, k=2000):
    rng = stream(0, "trials", str(rate))
    return (torch.from_numpy(rng.random(n) < rate) for _ in range(k))


def test_it_stops_at_the_trial_computed_by_hand():
    """With rates 0.1 and 0.4 a success weighs ln 4, a failure ln(2 / 3), the bounds are ln 19."""
    up, down = math.ceil(math.log(19) / math.log(4)), math.ceil(math.log(19) / math.log(1.5))
    found = rate_test((torch.tensor([True, False]) for _ in range(50)), 0.1, 0.4)
    assert found.answer.tolist() == [1, -1]
    assert found.used.tolist() == [up, down] == [3, 8]


@pytest.mark.parametrize("rate, wrong", [(0.1, 1), (0.05, 1), (0.4, -1), (0.6, -1)])
def test_errors_are_as_rare_as_stated(rate, wrong):
    found = rate_test(trials(rate), 0.1, 0.4, alpha=0.05, beta=0.05)
    assert (found.answer == wrong).double().mean() < 0.06
    assert (found.answer != 0).all()


def test_it_needs_fewer_trials_than_a_test_of_fixed_size():
    """Normal quantiles at 5 % for 0.1 against 0.4 need (1.645 (0.3 + 0.49) / 0.3)^2 = 19 trials."""
    assert rate_test(trials(0.1), 0.1, 0.4).used.double().mean() < 15


def test_no_more_is_drawn_than_it_takes():
    drawn = []

    def lazily():
        for number in range(1000):
            drawn.append(number)
            yield torch.tensor([True])

    rate_test(lazily(), 0.1, 0.4)
    assert len(drawn) <= 4


def test_too_few_trials_leave_it_open():
    found = rate_test((torch.tensor([False]) for _ in range(2)), 0.1, 0.4)
    assert (found.answer.tolist(), found.used.tolist()) == ([0], [2])


@pytest.mark.parametrize("wrong", [(0.0, 0.4), (0.4, 0.1), (0.1, 1.0)])
def test_impossible_rates_are_named(wrong):
    with pytest.raises(MethodError, match="low < high"):
        rate_test([], *wrong)
