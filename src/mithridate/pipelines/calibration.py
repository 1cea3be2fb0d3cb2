"""From scores of several judges to one p-value for each example, exact for clean ones.

Axes: n examples judged, m calibration examples, k judges, c classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from mithridate.core.scores import conformal_p_values

POOLED = -1
"""The group of all classes that have too few examples for a calibration of their own."""

SLACK = 3.0
"""Standard deviations by which a class must be expected to have more examples than are needed: the
split decides how many it gets, and groups are formed before it is looked at."""

ENTRIES = 2**22
"""Comparisons held in memory at a time."""


def examples_needed(level: float) -> int:
    """The fewest calibration examples with which a p-value can reach a level."""
    return max(1, math.ceil(1 / level - 1e-9) - 1)


def group_classes(expected: torch.Tensor, level: float) -> torch.Tensor:
    """Say with whom each class is calibrated, int64[c]: with itself, or `POOLED`.

    A pool with too few is filled up with the smallest of the other classes.

    Args:
        expected: float[c], how many calibration examples the model will call so, judged from other
            examples, since groups that depend on the calibration would make its p-values inexact.
    """
    enough = examples_needed(level) + SLACK * math.sqrt(examples_needed(level))
    own = expected >= enough
    while own.any() and not own.all() and float(expected[~own].sum()) < enough:
        own[torch.where(own, expected, torch.inf).argmin()] = False
    return torch.where(own, torch.arange(len(expected)), POOLED)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What clean examples scored, by group, and the p-values that follow from it.

    Attributes:
        scores: float64[m, k], larger is more suspicious.
        predicted: int64[m], what the model calls the examples.
        group_of: int64[c], see `group_classes`.
    """

    scores: torch.Tensor
    predicted: torch.Tensor
    group_of: torch.Tensor

    def among(self, group: int) -> torch.Tensor:
        """The calibration scores of one group, float64[m', k]."""
        return self.scores[self.group_of[self.predicted] == group]

    def count(self, group: int) -> int:
        """How many calibration examples a group has."""
        return len(self.among(group))

    @property
    def groups(self) -> list[int]:
        """The groups that there are: numbers of classes, and `POOLED`."""
        return sorted({int(group) for group in self.group_of})

    def reached(self, group: int, level: float) -> float:
        """The share of clean examples of a group that are refused at a level, without ties.

        It is the largest p-value that does not exceed the level; 0 where there is none.
        """
        m = self.count(group)
        return math.floor(level * (m + 1) + 1e-9) / (m + 1)

    def p_values(self, scores: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
        """Give each example float64[n, k], called int64[n], its p-value within its group.

        See `combine_judges`. Returns float64[n].
        """
        p_values = torch.ones(len(scores), dtype=torch.float64)
        groups = self.group_of[predicted]
        for group in groups.unique().tolist():
            rows = groups == group
            p_values[rows] = combine_judges(scores[rows], self.among(group))
        return p_values


def combine_judges(scores: torch.Tensor, calibration: torch.Tensor) -> torch.Tensor:
    """Give each example the conformal p-value of its most extreme rank over k judges, float64[n].

    An example and the m calibration examples make a bag. Each member is ranked by each judge within
    the bag; members are ordered by the best of their k ranks and, where these tie, by the sum of
    all. p is the share of the bag that is at least as extreme as the example. Everything is a
    symmetric function of the bag, so P(p <= t) <= t under exchangeability, however the judges
    depend on each other. The finest value is 1 / (m + 1), as for a single judge.

    Args:
        scores: float64[n, k], larger is more suspicious.
        calibration: float64[m, k].
    """
    m, k = calibration.shape
    if k == 1:
        return conformal_p_values(scores[:, 0], calibration[:, 0])
    ordered = calibration.T.contiguous().sort(1).values
    below = torch.searchsorted(ordered, calibration.T.contiguous())
    within = (m - below).T  # [m, k], how many are at least as large, each counts itself
    parts = [
        _bag(part, calibration, within) for part in scores.split(max(1, ENTRIES // (m * k + 1)))
    ]
    return torch.cat(parts) if parts else torch.ones(0, dtype=torch.float64)


def _bag(scores: torch.Tensor, calibration: torch.Tensor, within: torch.Tensor) -> torch.Tensor:
    m, k = calibration.shape
    above = calibration[None] >= scores[:, None]  # [n, m, k]
    mine = 1 + above.sum(1)
    theirs = within + (scores[:, None] >= calibration[None])
    own, others = (_extreme(ranks, k * (m + 1) + 1) for ranks in (mine, theirs))
    return (1 + (others <= own[:, None]).sum(1)).double() / (m + 1)


def _extreme(ranks: torch.Tensor, more: int) -> torch.Tensor:
    """Order members by their best rank int64[..., k], then by the sum; smaller is more extreme."""
    return ranks.amin(-1) * more + ranks.sum(-1)
