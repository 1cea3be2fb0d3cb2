"""A network after a defence beside the same network before it, example by example."""

from __future__ import annotations

import numpy as np

from mithridate.bench.step import Output
from mithridate.stats.intervals import Interval, mean

SECURE, DESTROYED = 0.1, 0.1
"""A defence is secure where the attack success rate is below 10 % and the accuracy lost is below
10 points; a network that lost more was destroyed, whatever the attack does to it."""


def compare(before: Output, after: Output, metrics: dict[str, Interval], attacked: bool) -> str:
    """Add what the defence changed to `metrics`, and say how the cell ended.

    accuracy_reduction: clean accuracy before minus after, paired by test example; asr_reduction:
    the same of the attack success rate; effectiveness: DE = (ASR before - ASR after) / ASR before,
    0 for nothing and 1 for all, negative where the attack got stronger; not measured on clean
    data. Returns "destroyed" or, of an attacked network, "secure" or "open", of a clean one "kept".
    """
    lost = paired_difference_of_means(before, after, "right")
    gained = paired_difference_of_means(before, after, "hit")
    metrics["accuracy_reduction"], metrics["asr_reduction"] = lost, gained
    asr = before.facts["metrics"]["asr"][0]
    if attacked and asr > 0:
        metrics["effectiveness"] = Interval(
            gained.value / asr, gained.low / asr, gained.high / asr, gained.n
        )
    if lost.value >= DESTROYED:
        return "destroyed"
    if not attacked:
        return "kept"
    return "secure" if metrics["asr"].value < SECURE else "open"


def worst_class(before: Output, after: Output) -> Interval:
    """Give the largest fall of the accuracy of one class, of those with test data."""
    pairs = zip(*(o.facts["per_class"]["accuracy"] for o in (before, after)), strict=True)
    fallen = [x - y for x, y in pairs if x is not None and y is not None and x == x and y == y]
    return Interval(max(fallen, default=np.nan), -np.inf, np.inf, len(fallen))


def paired_difference_of_means(before: Output, after: Output, name: str) -> Interval:
    """Mean difference over the same examples, before minus after, with Student's interval."""
    first = before.tensors[name].double().numpy()
    second = after.tensors[name].double().numpy()
    difference = mean(first - second)
    return (
        difference if len(first) > 1 else Interval(difference.value, -np.inf, np.inf, difference.n)
    )
