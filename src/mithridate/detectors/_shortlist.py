"""Which simple features are worth a close look: few of very many, found by sums alone.

Axes: n examples, k features of a family, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix
from scipy.special import xlogy

from mithridate.core.features import Carried

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LARGEST = 0.5
"""Share of the examples above which carriers are no minority any more."""

PURE = 0.6
"""Share of the carriers below which a label does not go with a feature as with a trigger."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A feature and a class that it may go with.

    Attributes:
        rank: the larger, the sooner it is looked at, in the order in which it was found.
        place: of the family among all, and of the feature in it.
        carriers: int64[r], positions of examples.
    """

    rank: float
    place: tuple[int, int]
    key: int
    label: int
    carriers: Integers


@dataclass(eq=False)
class Shortlist:
    """The first features of every class in two orders, kept while families come by.

    One order is the likelihood ratio of the label with the feature against the label without; the
    other is how far carriers have the label more often than their content says, in standard errors.

    Args:
        labels: int64[n].
        expected: float64[n, c], the probability of each class by the content of each example.
        length: features of each class and order that are kept.
    """

    labels: Integers
    expected: Floats
    length: int
    families: int = 0
    best: dict[tuple[int, str], list[Candidate]] = field(default_factory=dict)

    def add(self, family: Carried) -> None:
        """Look at the features of a family."""
        self.families += 1
        if not len(family.keys):
            return
        n, classes = self.expected.shape
        ones = np.ones(len(family.rows))
        carried = csc_matrix((ones, (family.rows, family.columns)), shape=(n, len(family.keys)))
        hot = np.eye(classes)[self.labels]
        inside, wanted = carried.T @ hot, carried.T @ self.expected
        spread = carried.T @ (self.expected * (1 - self.expected))
        size = inside.sum(1, keepdims=True)
        orders = {
            "ratio": likelihood_ratio(inside, size, hot.mean(0)),
            "conflict": (inside - wanted) / np.sqrt(spread + 0.25),
        }
        few = (size <= LARGEST * n) & (inside >= PURE * size)
        _, first = np.unique(_signatures(carried), return_index=True)
        fresh = np.zeros(len(family.keys), dtype=bool)
        fresh[first] = True
        for name, order in orders.items():
            for label in range(classes):
                column = np.where(few[:, label] & fresh, order[:, label], 0.0)
                self._keep(name, label, column, family.keys, carried)

    def _keep(
        self, order: str, label: int, ranks: Floats, keys: Integers, carried: csc_matrix
    ) -> None:
        known = self.best.get((label, order), [])
        least = known[-1].rank if len(known) == self.length else 0.0
        above = np.flatnonzero(ranks > least)
        chosen = above[np.argsort(-ranks[above], kind="stable")[: self.length]]
        for column in chosen.tolist():
            rows = carried.indices[carried.indptr[column] : carried.indptr[column + 1]]
            place, key = (self.families, column), int(keys[column])
            each = Candidate(float(ranks[column]), place, key, label, rows.astype(np.int64))
            known.append(each)
        known.sort(key=lambda c: (-c.rank, c.key))
        self.best[label, order] = known[: self.length]

    def candidates(self) -> list[Candidate]:
        """Give every feature and class that is in one of the two orders, once, as they came by."""
        chosen = {(*c.place, c.label): c for known in self.best.values() for c in known}
        return [chosen[place] for place in sorted(chosen)]


def likelihood_ratio(inside: Floats, size: Floats, base: Floats) -> Floats:
    """Log likelihood ratio of a share of the carriers against the share of all, float64[k, c].

    0 where the class is not more frequent among the carriers.

    Args:
        inside: float64[k, c], carriers of each class.
        size: float64[k, 1], carriers.
        base: float64[c], share of each class of all examples.
    """
    share, base = inside / size, np.clip(base, 1e-12, 1 - 1e-12)
    ratio = xlogy(inside, share / base) + xlogy(size - inside, (1 - share) / (1 - base))
    return np.where(share > base, ratio, 0.0)


def _signatures(carried: csc_matrix) -> Integers:
    """A number for each set of carriers, int64[k]; different sets hardly share one."""
    n = carried.shape[0]
    weights = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    weights ^= weights >> np.uint64(31)
    weights *= np.uint64(0xBF58476D1CE4E5B9)
    return np.add.reduceat(weights[carried.indices], carried.indptr[:-1]).view(np.int64)
