"""How many trusted examples a scan would need.

Axes: n suspect and m trusted examples, D detectors, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Dataset
from mithridate.core.streams import stream
from mithridate.stats.enrichment import enrichment, lengths_of_tops

Sizes = NDArray[np.int64]
"""How many examples there are of each class, int64[C]."""

DRAWS = 599
"""Permutations behind the estimate: at level 0.05 the threshold is the 29th smallest value."""

TOPS = 0.42
"""The tops of a ranking overlap; so large a part of them counts as apart. Measured."""

MARGIN = 1.3
"""The estimate of what is visible, over what is, in which it is believed. Measured."""


class Needed(NamedTuple):
    """What a scan needs to say "clean".

    Attributes:
        trusted: How many trusted examples; None where no number is enough.
        share: The smallest share of the data that a backdoor may have to be seen with so many, or
            with more than anybody has; above 1 where none would be seen.

    """

    trusted: int | None
    share: float


def trusted_needed(
    data: Dataset, rankings: int, smallest: float, level: float, seed: int
) -> Needed:
    """Estimate how many trusted examples let a scan say "clean".

    Found by running the test on `rankings` random rankings, with growing numbers of trusted
    examples that are spread over the classes as the suspects are, until a backdoor of the share
    `smallest` would be seen in every class. Numbers that a formula calls far too few are not tried.
    """
    sizes = torch.bincount(data.labels, minlength=len(data.classes)).numpy()
    asked = smallest * len(data)
    roughly = {m: _estimated(sizes, m, rankings, level) for m in numbers_to_try(sizes)}
    seen: dict[int, float] = {}
    for goal in (asked, min(roughly.values(), default=np.inf)):
        for m, estimate in roughly.items():
            if m in seen or estimate > MARGIN * goal:
                continue
            seen[m] = visible_with(sizes, m, rankings, level, seed)
            if seen[m] <= asked:
                return Needed(m, seen[m] / len(data))
    return Needed(None, min(seen.values(), default=np.inf) / len(data))


def numbers_to_try(sizes: Sizes) -> Iterator[int]:
    """Numbers of trusted examples to try, each a quarter more than the one before."""
    m = 2 * int((sizes > 0).sum())
    while m <= 4 * int(sizes.sum()):
        yield m
        m = int(np.ceil(1.25 * m))


def _spread(sizes: Sizes, m: int) -> Sizes:
    """Spread trusted examples over the classes as the suspects are, at least one in each."""
    shares = np.floor(m * sizes / sizes.sum())
    return np.where(sizes > 0, np.maximum(1, shares), 0).astype(np.int64)


def _estimated(sizes: Sizes, m: int, rankings: int, level: float) -> float:
    """Estimate `visible_with`: the level is shared by rankings, classes, and `TOPS` of all tops.

    Ranks drawn without replacement vary less than the test's tail says, by sqrt(1 - m / N).
    """
    classes, worst = int((sizes > 0).sum()), 0.0
    for size, known in zip(*np.unique([sizes, _spread(sizes, m)], axis=1), strict=True):
        if known:
            share = level / (rankings * classes * TOPS * len(lengths_of_tops(known)))
            finite = np.sqrt(size / (size + known))
            worst = max(worst, float((size + known) * (share ** (-finite / known) - 1)))
    return worst


def visible_with(
    sizes: Sizes,
    m: int,
    rankings: int,
    level: float,
    seed: int,
) -> float:
    """The smallest number of poisons that would be seen whichever class they are in.

    Args:
        sizes: int64[C], suspects of each class.
        m: How many trusted examples there are.
        rankings: By how many detectors.
        level: Of the test.
        seed: Of the rankings and permutations.

    """
    trusted = _spread(sizes, m)
    both = np.stack([sizes, trusted], 1).ravel()
    labels = np.repeat(np.repeat(np.arange(len(sizes)), 2), both)
    is_trusted = np.repeat(np.tile([False, True], len(sizes)), both)
    rng = stream(seed, "advice", m)
    tested = enrichment(
        rng.random((rankings, len(labels))), labels, is_trusted, len(sizes), rng,
        level=level, permutations=DRAWS,
    )  # fmt: skip
    return float(tested.visible[sizes > 0].max())
