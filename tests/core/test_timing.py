"""Estimates of time, by a clock that the tests turn: no machine is too busy for them."""

import math

import pytest

from mithridate.core import timing
from mithridate.core.timing import Countdown, extrapolate


class Clock:
    """Time that passes only where work says so."""

    def __init__(self, monkeypatch):
        self.seconds, self.runs = 0.0, 0
        monkeypatch.setattr(timing, "now", lambda: self.seconds)

    def work(self, cost, once=0.0):
        """Something that costs so many seconds for u units, and more the first time."""

        def run(units):
            self.seconds += cost(units) + (once if self.runs == 0 else 0.0)
            self.runs += 1

        return run


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.mark.parametrize("fixed", [0.0, 0.01, 1.0, 30.0])
@pytest.mark.parametrize("each", [1e-4, 0.01, 2.0])
def test_what_happens_once_is_not_multiplied(clock, fixed, each):
    """A warm-up of 3 s made 56 minutes out of one."""
    told = extrapolate(clock.work(lambda u: fixed + each * u, once=3.0), 2, 5000)
    assert told == pytest.approx(fixed + 5000 * each)


def test_a_stall_of_the_machine_does_not_turn_an_estimate_over(clock):
    for stalls in ([0, 9.0, 0, 0], [5.0, 0.3, 0, 0], [0, 0, 0.1, 0]):
        told = iter(stalls)
        run = clock.work(lambda u, told=told: 0.3 + 0.1 * u + next(told))
        assert 10.3 / 2 < extrapolate(run, 2, 100) < 10.3 * 2
    stalls = iter([0, 9.0, 0])
    assert extrapolate(clock.work(lambda u: 2 + u + next(stalls)), 2, 100) > 50


COSTS = {
    "the same for any number": lambda u: 5.0,
    "in proportion": lambda u: 0.2 * u,
    "a start and a proportion": lambda u: 20 + 0.1 * u,
    "batches of 64": lambda u: 0.5 * math.ceil(u / 64),
    "batches of 64, filled or not": lambda u: 0.1 * math.ceil(u / 64) + 0.004 * u,
    "batches of 64, of epochs": lambda u: 30 * (0.1 * math.ceil(u / 64) + 0.004 * u),
}


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("n", [20, 100, 500, 2000, 50_000])
def test_estimates_are_within_a_factor_of_two(clock, name, n):
    cost = COSTS[name]
    told = extrapolate(clock.work(cost, once=2.0), 64 if n >= 256 else max(1, n // 4), n)
    assert cost(n) / 2 <= told <= 2 * cost(n)


def test_an_estimate_spends_little_of_what_is_long(clock):
    extrapolate(clock.work(lambda u: 1.0 + 1.0 * u), 64, 5000)
    assert clock.seconds < 0.06 * 5001


def test_what_is_left_follows_what_was_taken(clock):
    """Trainings were expected to take ten times as long as they do; so is what comes after."""
    left = Countdown({"train": (3, 100.0), "scan": (4, 50.0)})
    assert left.begin("train") == pytest.approx(3 * 100 + 4 * 50)
    clock.seconds += 10
    assert left.begin("train") == pytest.approx(2 * 10 + 4 * 5)
    assert left.ended("train") == 1
    clock.seconds += 14
    assert left.begin("train") == pytest.approx(1 * 12 + 4 * 6)
    assert left.ended("train") == 2
    clock.seconds += 12
    assert left.begin("scan") == pytest.approx(4 * 6)
    clock.seconds += 30
    assert left.begin("scan") == pytest.approx(3 * 30)


def test_what_was_not_planned_counts_for_nothing(clock):
    left = Countdown({"scan": (2, 5.0)})
    left.begin("reading")
    clock.seconds += 50
    assert left.begin("scan") == pytest.approx(10)
    for _ in range(3):
        clock.seconds += 5
        told = left.begin("scan")
    assert told == 0, "more units than were planned"
