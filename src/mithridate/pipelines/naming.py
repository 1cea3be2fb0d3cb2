"""Which examples of a class are named, in what order, and how many of them are clean at most.

Axes: n suspect and m trusted examples of one class, D detectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.scores import Scores, conformal_p_values
from mithridate.stats.agreement import evidence, led
from mithridate.stats.clean_among import clean_among, envelope
from mithridate.stats.enrichment import benjamini_hochberg, lengths_of_tops

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DOUBT = 0.05
"""The bound on the clean among the named is wrong with at most this probability."""

MOST = 20
"""Beyond so many trusted examples for each suspect nobody is told how many would do."""


@dataclass(frozen=True, eq=False)
class Naming:
    """What the list of a scan rests on.

    Attributes:
        scores: of the n suspects by the combination of their class, comparable within a class, with
            p-values against the trusted examples of the class.
        trusted: float64[m], the same of the trusted examples.
        clean_at_most: so many of the named are clean at most, with a probability of 1 - `DOUBT`.
        bounded: whether the list is as long as that bound allows, and not as its expectation does.
        needed: how many trusted examples of its class the most suspicious list would have needed;
            None where a list was given, or where no number would do.
    """

    scores: Scores
    trusted: torch.Tensor
    clean_at_most: int
    bounded: bool
    needed: int | None


@dataclass(frozen=True, eq=False)
class Order:
    """The order of one class: that of the detector with the strongest evidence and its like.

    Attributes:
        leader: position of the detector.
        weights: float64[D], of the detectors in the order, with sum 1.
        suspects: float64[n], larger is more suspicious; trusted: float64[m] likewise.
        p_values: float64[n].
    """

    leader: int
    weights: Floats
    suspects: Floats
    trusted: Floats
    p_values: Floats

    def heads(self) -> NDArray[np.int64]:
        """Numbers of suspects above the (j + 1)-th trusted example, int64[m]."""
        m = len(self.trusted)
        places = np.round(self.p_values * (m + 1)).astype(np.int64) - 1
        return np.asarray(np.cumsum(np.bincount(places, minlength=m + 1))[:m])

    def clean_at_most(self, length: int, doubt: float) -> int:
        """Bound the number of clean ones among the first so many."""
        heads = self.heads()
        place = int(np.searchsorted(heads, length))
        if length == 0 or place == len(heads):
            return length
        return int(clean_among(heads, len(self.suspects), len(heads), doubt)[place])

    def expected(self, fdr: float) -> Bools:
        """Name examples of which a share `fdr` is expected to be clean, bool[n]."""
        return benjamini_hochberg(self.p_values, fdr)

    def bounded(self, fdr: float, doubt: float) -> Bools:
        """Give the longest list whose bound is at most `fdr` of it, bool[n], maybe empty."""
        heads = self.heads()
        bounds = clean_among(heads, len(self.suspects), len(heads), doubt)
        good = np.flatnonzero((bounds <= fdr * heads) & (heads > 0))
        last = int(good[-1]) + 1 if len(good) else 0
        return np.asarray(self.p_values < (last + 0.5) / (len(heads) + 1))

    def needed(self, fdr: float, doubt: float) -> int | None:
        """How many trusted examples let a list as long as the expected one keep the bound.

        With its examples above all trusted ones; None where the expected list is empty, too, or
        where no number would do.
        """
        length = int(self.expected(fdr).sum())
        m = len(self.trusted)
        if not length:
            return None
        while m <= MOST * len(self.suspects):
            m = int(np.ceil(1.2 * m))
            if envelope(len(self.suspects), m, doubt)[0] <= fdr * length:
                return m
        return None


def order_class(scores: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Order:
    """Put one class in order by the scores of suspects and trusted examples of every detector.

    Each detector leads a combination that is made without a look at who is trusted; the one in
    which the trusted examples lie lowest is taken. Only that choice, among D, looks at them.

    Args:
        scores: by detector float64[n] and float64[m].

    """
    n, m = len(scores[0][0]), len(scores[0][1])
    trusted = np.arange(n + m) >= n
    combined, weights = led(np.stack([torch.cat(pair).double().numpy() for pair in scores]))
    above = lengths_of_tops(m)
    leader = int(np.argmax([evidence(row, trusted, above) for row in combined]))
    order = combined[leader]
    p_values = conformal_p_values(torch.from_numpy(order[:n]), torch.from_numpy(order[n:])).numpy()
    return Order(leader, weights[leader], order[:n], order[n:], p_values)


@dataclass(frozen=True)
class Listing:
    """How to name the examples of one class.

    Attributes:
        level: a class is named in where its p-value is at most this.
        sure: where it is larger than this, all that is named there may be clean.
        doubt: what is left for the bound in one class and for one leader.
        bounded: name as many as the bound allows, and not as the expectation does.
    """

    fdr: float
    level: float
    sure: float
    doubt: float
    bounded: bool

    def name(self, order: Order, p_value: float) -> ClassList:
        """Name the first examples of a class in its order."""
        surely = p_value <= self.sure
        named = np.zeros(len(order.suspects), dtype=bool)
        if p_value <= self.level:
            named = order.expected(self.fdr)
            if self.bounded:
                named = order.bounded(self.fdr, self.doubt) if surely else np.zeros_like(named)
        length = int(named.sum())
        most = order.clean_at_most(length, self.doubt) if surely else length
        return ClassList(order, named, most)


@dataclass(frozen=True, eq=False)
class ClassList:
    """Who is named in one class, bool[n], and how many of them are clean at most."""

    order: Order
    named: Bools
    clean_at_most: int


def listing(fdr: float, level: float, bounded: bool, alone: Floats, detectors: int) -> Listing:
    """Share the doubt of the bound among what may go wrong.

    A part of it is the chance that a class is named without reason. The rest is divided by the
    classes that might hold poison, those that would be rejected if there were no others, and by the
    detectors that might lead.

    Args:
        alone: float64[c], p-values of the classes, each as if there were no others.

    """
    sure = min(level, DOUBT / 2)
    shares = detectors * max(1, int((alone <= level).sum()))
    return Listing(fdr, level, sure, (DOUBT - sure) / shares, bounded)
