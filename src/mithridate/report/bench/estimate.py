"""One number of a row: a mean over seeds with an interval, and what the interval is over.

Axes: s seeds, n inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mithridate.report.bench.wording import DIFFERENCES, meaning
from mithridate.stats.crossed import crossed_mean, paired_difference
from mithridate.stats.intervals import Interval, mean


class Estimate(NamedTuple):
    """A mean over seeds with its 95 % interval.

    Attributes:
        over: "seeds x inputs", "seeds" or "inputs", the last where there is but one seed.
    """

    value: float
    low: float
    high: float
    seeds: int
    over: str


def over_seeds(intervals: Sequence[Interval], metric: str) -> Estimate | None:
    """Average one metric over seeds; None where no seed has a number.

    The interval is Student's over the seeds, widened to the mean interval of a single seed where
    that is wider: two seeds that agree by chance would else seem to leave no doubt. With one seed
    it is that seed's own, over inputs alone.
    """
    kept = [i for i in intervals if math.isfinite(i.value)]
    if not kept:
        return None
    if len(kept) == 1:
        one = kept[0]
        return Estimate(one.value, *_clip(one.low, one.high, metric), 1, "inputs")
    whole = mean([i.value for i in kept])
    low, high = whole.low, whole.high
    own_low, own_high = (float(np.mean(ends)) for ends in zip(*((i.low, i.high) for i in kept),
                                                               strict=True))  # fmt: skip
    low = min(low, own_low) if math.isfinite(own_low) else low
    high = max(high, own_high) if math.isfinite(own_high) else high
    return Estimate(whole.value, *_clip(low, high, metric), len(kept), "seeds")


def _clip(low: float, high: float, metric: str) -> tuple[float, float]:
    """Cut an interval to what a share can be."""
    if not meaning(metric).share or not (math.isfinite(low) or math.isfinite(high)):
        return low, high
    least = {"effectiveness": -math.inf}.get(metric, -1.0 if metric in DIFFERENCES else 0.0)
    return max(low, least), min(high, 1.0)


def pool(worlds: Sequence[Mapping[str, NDArray[Any]]], name: str, ids: str) -> Estimate:
    """Average a rate over seeds and inputs with `crossed_mean`; found: the outcomes of s seeds."""
    return _estimate(crossed_mean(_grid(worlds, name, ids)), len(worlds))


def pool_difference(
    before: Sequence[Mapping[str, NDArray[Any]]],
    after: Sequence[Mapping[str, NDArray[Any]]],
    name: str,
    ids: str,
) -> Estimate:
    """Average what a defence changed, before minus after, paired by seed and input."""
    every = np.unique(np.concatenate([one[ids] for one in (*before, *after)]))
    first, second = (_grid(worlds, name, ids, every) for worlds in (before, after))
    return _estimate(paired_difference(first, second), len(after))


def _estimate(interval: Interval, seeds: int) -> Estimate:
    over = "seeds x inputs" if seeds > 1 else "inputs"
    return Estimate(interval.value, interval.low, interval.high, seeds, over)


def _grid(
    worlds: Sequence[Mapping[str, NDArray[Any]]], name: str, ids: str,
    every: NDArray[Any] | None = None,
) -> NDArray[np.float64]:  # fmt: skip
    """Line outcomes up by input, float[s, n]; not a number where an input was not tested."""
    columns = np.unique(np.concatenate([one[ids] for one in worlds])) if every is None else every
    grid = np.full((len(worlds), len(columns)), np.nan)
    for line, one in zip(grid, worlds, strict=True):
        line[np.searchsorted(columns, one[ids])] = one[name]
    return grid
