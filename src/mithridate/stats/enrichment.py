"""Is one group missing among the highest scores of another? An exact test by permutation.

Suspect and trusted examples of a class that were treated alike are exchangeable where nothing is
wrong. Poison that a detector sees stands above the trusted examples, so the top of the ranking
holds too few of these. The test looks at the top of every length, in every class, by every
detector, and permutes who is trusted within each class to get the null of its smallest p-value.
Classes are then rejected step by step: the null of the next one is computed without those before.
Axes: N examples, suspect and trusted together; D rankings; C classes; B permutations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincc

Floats = NDArray[np.float64]

TABLE = 8192
"""Examples of a class up to which tail probabilities are computed once for every place."""


@dataclass(frozen=True, eq=False)
class Enrichment:
    """What the test found.

    Attributes:
        p_value: of the whole question.
        adjusted: float64[D, C], p-values of each ranking and class with the probability controlled
            of naming any class that nothing is wrong with, whatever is wrong with others; 1 where a
            class has no trusted example.
        alone: float64[C], p-values of each class by all rankings, as if there were no other class.
        single: float64[D, C], p-values of each ranking and class among all classes, as they would
            be if nothing were wrong with any other.
        visible: float64[C], the smallest number of perfectly ranked strangers in a class that this
            test would have seen at `level`, infinite where it could see none.
        finest_p: 1 / (B + 1).
    """

    p_value: float
    adjusted: Floats
    alone: Floats
    single: Floats
    visible: Floats
    finest_p: float


def lengths_of_tops(m: int) -> NDArray[np.int64]:
    """Numbers of trusted examples at the top that are looked at: 0, 1, 2, 3, 5, 8, ... m / 2."""
    steps = np.unique(np.round(1.5 ** np.arange(40)).astype(np.int64))
    return np.concatenate([[0], steps[steps <= m // 2]])


def _surprise(ranks: NDArray[np.int64], total: int) -> Floats:
    """Smallest tail probability over the tops that end at a trusted example.

    With j trusted examples above position t of N, the probability under the null is P(Beta(j + 1, m
    - j) > t / N).

    Args:
        ranks: int64[..., m], of the trusted examples, 0 is the most suspicious, sorted.
    """
    m = ranks.shape[-1]
    above = lengths_of_tops(m)
    tops = ranks[..., above]
    if total <= TABLE:
        return np.asarray(_tails(total, m)[tops, np.arange(len(above))].min(-1))
    return np.asarray(betaincc(above + 1.0, m - above, tops / total).min(-1))


@lru_cache(maxsize=8)
def _tails(total: int, m: int) -> Floats:
    """The tail probability at every place of every top, float64[total, tops].

    A place is asked about by every permutation, ranking and class of this size.
    """
    above = lengths_of_tops(m)
    places = np.arange(total)[:, None] / total
    return np.asarray(betaincc(above + 1.0, m - above, places))


def enrichment(
    scores: Floats, labels: NDArray[np.int64], trusted: NDArray[np.bool_], classes: int,
    rng: np.random.Generator, *, strata: NDArray[np.int64] | None = None, level: float = 0.05,
    permutations: int = 1999,
) -> Enrichment:  # fmt: skip
    """Test whether suspects of any class stand above trusted examples by any ranking.

    Ties are broken at random. Under exchangeability within classes the probability that p_value <=
    level is at most `level`, whatever the rankings. Westfall and Young, Resampling-Based Multiple
    Testing, 1993 (the smallest p-value's null).

    Args:
        scores: float64[D, N], larger is more suspicious, comparable within a class.
        labels: int64[N].
        trusted: bool[N].
        strata: int64[N], where only examples of a class with the same number are exchangeable.
    """
    rankings = len(scores)
    observed = np.ones((rankings, classes))
    null = np.ones((classes, permutations))
    sizes: dict[int, tuple[int, int]] = {}
    for label in range(classes):
        rows = np.flatnonzero(labels == label)
        inside = trusted[rows]
        total, m = len(rows), int(inside.sum())
        if m == 0 or m == total:
            continue
        sizes[label] = (total, m)
        shuffle = rng.permutation(total)
        ranks = np.empty((rankings, total), dtype=np.int64)
        for row, ranking in enumerate(scores[:, rows]):
            ranks[row, shuffle[np.argsort(-ranking[shuffle], kind="stable")]] = np.arange(total)
        observed[:, label] = _surprise(np.sort(ranks[:, inside], -1), total)
        kind = np.zeros(total, dtype=np.int64) if strata is None else strata[rows]
        draws = draws_within(inside, kind, permutations, rng)
        for ranking in ranks:
            null[label] = np.minimum(null[label], _surprise(np.sort(ranking[draws], -1), total))
    adjusted, alone = _step_down(observed, null)
    least = np.sort(null.min(0))
    single = (1 + np.searchsorted(least, observed, side="right")) / (permutations + 1)
    for label in set(range(classes)) - set(sizes):
        adjusted[:, label] = alone[label] = single[:, label] = 1.0
    allowed = _allowed(level, permutations)
    threshold = least[allowed - 1] if allowed >= 1 else 0.0
    return Enrichment(
        float(adjusted.min(initial=1.0)),
        adjusted,
        alone,
        single,
        _visible(sizes, classes, float(threshold)),
        1 / (permutations + 1),
    )


def draws_within(
    trusted: NDArray[np.bool_],
    strata: NDArray[np.int64],
    permutations: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw as many places of each stratum as hold trusted examples, int64[B, m]."""
    parts = []
    for stratum in np.unique(strata):
        places = np.flatnonzero(strata == stratum)
        total, m = len(places), int(trusted[places].sum())
        if m in (0, total):
            parts.append(np.broadcast_to(places[:m], (permutations, m)))
            continue
        drawn = [rng.choice(total, m, replace=False, shuffle=False) for _ in range(permutations)]
        parts.append(places[np.stack(drawn)])
    return np.concatenate(parts, axis=1)


def _step_down(observed: Floats, null: Floats) -> tuple[Floats, Floats]:
    """P-values of rankings and classes, class by class from the most suspicious one; and alone.

    The null of a class is the smallest value over itself and all classes that come after it, and no
    p-value lies below the smallest one of a class before it.

    Args:
        observed: float64[D, C].
        null: float64[C, B], the smallest value of each class over the rankings.
    """
    draws = null.shape[1]
    adjusted = np.ones_like(observed)
    own = observed.min(0)
    left, least = np.ones(draws), 0.0
    nulls: dict[int, Floats] = {}
    order = np.argsort(own, kind="stable")
    for label in order[::-1]:
        left = np.minimum(left, null[label])
        nulls[int(label)] = np.sort(left)
    for label in order:
        reached = np.searchsorted(nulls[int(label)], observed[:, label], side="right")
        adjusted[:, label] = np.maximum(least, (1 + reached) / (draws + 1))
        least = float(adjusted[:, label].min())
    alone = (1 + (null <= own[:, None]).sum(1)) / (draws + 1)
    return adjusted, np.asarray(alone)


def _allowed(level: float, permutations: int) -> int:
    """How many values of the null may lie at or below one that is still rejected."""
    return int(np.floor(level * (permutations + 1))) - 1


def fewest_permutations(level: float) -> int:
    """The smallest number of permutations with which anything is sure to be seen at a level.

    With fewer, one draw that equals the most extreme statistic hides it.
    """
    permutations = max(1, int(2 / level) - 2)
    while _allowed(level, permutations) < 1:
        permutations += 1
    return permutations


def _visible(sizes: dict[int, tuple[int, int]], classes: int, threshold: float) -> Floats:
    """Smallest number of strangers above everything else that would reach the threshold.

    k strangers on top of N examples, m of them trusted, give (1 - k / (N + k))^m.
    """
    seen = np.full(classes, np.inf)
    for label, (total, m) in sizes.items():
        share = 1 - threshold ** (1 / m)
        if share < 1:
            seen[label] = max(1.0, np.ceil(total * share / (1 - share)))
    return seen


def benjamini_hochberg(p_values: Floats, level: float) -> NDArray[np.bool_]:
    """Reject so that the expected share of false rejections is at most `level`; bool[n].

    Rejects the k smallest with the largest k such that p_(k) <= level k / n. Valid for conformal
    p-values that share a calibration set (Bates et al. 2023). Benjamini and Hochberg 1995.
    """
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    passed = np.flatnonzero(p_values[order] <= level * np.arange(1, n + 1) / max(n, 1))
    rejected = np.zeros(n, dtype=bool)
    if len(passed):
        rejected[order[: passed[-1] + 1]] = True
    return rejected
