"""How long work will take, from smaller pieces of it, and how much of it is left.

What is measured on little and multiplied must not multiply what happens once: preparing memory and
kernels, building a network, importing a library. Axes: n units of work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

Expected = dict[str, tuple[int, float]]
"""Number of units of each kind of work, and the seconds of one."""

Run = Callable[[int], object]
"""Does so many units of work."""

BUDGET = 2.0
"""Seconds that the larger piece of an estimate may take, if it takes no longer in proportion."""

QUICK = 1.0
"""Seconds of a piece below which it is measured twice."""

STALLED = 0.8
"""Share of the smaller piece's time that the larger one must take for both to be believed."""


def now() -> float:
    """The time in seconds, from any start; estimates take it from here and nowhere else."""
    return time.perf_counter()


def seconds_of(run: Callable[[], object]) -> float:
    """Measure how long something takes, in seconds."""
    began = now()
    run()
    return now() - began


def quickest(run: Callable[[], object]) -> float:
    """Measure how long something takes, the better of two times where it is quick."""
    seconds = seconds_of(run)
    return min(seconds, seconds_of(run)) if seconds < QUICK else seconds


def extrapolate(run: Run, small: int, n: int) -> float:
    """Estimate the seconds of n units where u units take a + b u.

    The line through two pieces. The smaller one is run once to warm up, then twice where that is
    quick, and the quicker time counts: a stall would be subtracted as often as there are units. The
    larger one is as large as `BUDGET` allows, at least twice the smaller and at most half of all.

    Args:
        run: Does so many units.
        small: Units of the smaller piece: where work comes in batches, a whole one.
        n: Units of the whole.

    """
    small = max(1, min(small, n))
    run(small)
    few = max(quickest(lambda: run(small)), 1e-9)
    large = min(max(2 * small, int(small * BUDGET / few)), n // 2)
    if large <= small:
        return few * n / small
    many = seconds_of(lambda: run(large))
    if many < STALLED * few:  # the smaller piece was held up
        return many * n / large
    slope = max(0.0, (many - few) / (large - small))
    return many + slope * (n - large)


def total(expected: Expected) -> float:
    """Give the seconds of all kinds of work together."""
    return sum(units * seconds for units, seconds in expected.values())


class Countdown:
    """How much of planned work is left, by how long the finished part took.

    What is finished replaces what was expected of its kind; kinds that have not begun are taken as
    long as expected, times how much longer or shorter than expected the finished part was.
    """

    def __init__(self, expected: Mapping[str, tuple[int, float]]) -> None:
        """Plan.

        Args:
            expected: Number of units of each kind, and the seconds of one.

        """
        self._expected = dict(expected)
        self._taken: dict[str, list[float]] = {kind: [] for kind in expected}
        self._kind, self._began = "", now()

    def begin(self, kind: str) -> float:
        """End what ran and begin a unit of a kind; gives the seconds that are left in all.

        Args:
            kind: One that was planned; of any other nothing is counted.

        """
        moment = now()
        if self._kind in self._taken:
            self._taken[self._kind].append(moment - self._began)
        self._kind, self._began = kind, moment
        return self.left()

    def left(self) -> float:
        """The seconds that are left, the unit that runs included."""
        done = {kind: len(taken) for kind, taken in self._taken.items()}
        planned = sum(done[kind] * self._expected[kind][1] for kind in done)
        taken = sum(map(sum, self._taken.values()))
        ratio = taken / planned if planned > 0 else 1.0
        return sum(
            max(0, units - done[kind])
            * (sum(self._taken[kind]) / done[kind] if done[kind] else seconds * ratio)
            for kind, (units, seconds) in self._expected.items()
        )

    def ended(self, kind: str) -> int:
        """How many units of a kind have ended."""
        return len(self._taken.get(kind, ()))
