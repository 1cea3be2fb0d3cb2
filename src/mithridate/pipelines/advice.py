"""How many trusted examples a scan would need.

Axes: n suspect and m trusted examples, D detectors, C classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from mithridate.core.data import Dataset
from mithridate.core.streams import stream
from mithridate.stats.enrichment import enrichment

DRAWS = 599
"""Permutations behind the estimate: at level 0.05 the threshold is the 29th smallest value."""


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
    `smallest` would be seen in every class.
    """
    sizes = torch.bincount(data.labels, minlength=len(data.classes)).numpy()
    asked = smallest * len(data)
    m, least = 2 * int((sizes > 0).sum()), np.inf
    while m <= 4 * len(data):
        least = min(least, _visible(sizes, m, rankings, level, seed))
        if least <= asked:
            return Needed(m, least / len(data))
        m = int(np.ceil(1.25 * m))
    return Needed(None, least / len(data))


def _visible(
    sizes: np.ndarray[tuple[int], np.dtype[np.int64]],
    m: int,
    rankings: int,
    level: float,
    seed: int,
) -> float:
    """The smallest number of poisons that would be seen whichever class they are in."""
    trusted = np.where(sizes > 0, np.maximum(1, np.floor(m * sizes / sizes.sum())), 0).astype(int)
    both = np.stack([sizes, trusted], 1).ravel()
    labels = np.repeat(np.repeat(np.arange(len(sizes)), 2), both)
    is_trusted = np.repeat(np.tile([False, True], len(sizes)), both)
    rng = stream(seed, "advice", m)
    tested = enrichment(
        rng.random((rankings, len(labels))), labels, is_trusted, len(sizes), rng,
        level=level, permutations=DRAWS,
    )  # fmt: skip
    return float(tested.visible[sizes > 0].max())
