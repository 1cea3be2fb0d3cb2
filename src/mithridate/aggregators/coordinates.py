"""Rules that look at one coordinate at a time: the median and the trimmed mean.

Axes: m clients, p parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.aggregators.assuming import assumed_among, checked
from mithridate.aggregators.blocks import blocks
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State

PAPER = (
    "Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates, "
    "ICML 2018"
)
LINKS = ("https://arxiv.org/abs/1803.01498",)


def mean_of_the_rest(updates: torch.Tensor, cut: int) -> torch.Tensor:
    """Cut the lowest and the highest values of each coordinate and average the rest, float32[p].

    Args:
        updates: float32[m, p].
        cut: how many are cut at each end.
    """
    step = torch.empty(updates.shape[1], device=updates.device)
    for place, block in blocks(updates):
        step[place] = block.sort(0).values[cut : len(updates) - cut].mean(0).float()
    return step


@dataclass(frozen=True)
class CoordinateMedian(Aggregator):
    """Take the median of every coordinate.

    For an even number of clients it is the mean of the two in the middle. Each client counts once,
    and nobody is named: in some coordinates everybody is the median.

    Published code: BackFed (ab3bcbd) takes the lower of the two in the middle, as `torch.median`
    does, which is biased towards negative values.
    """

    paper = PAPER
    links = LINKS
    known_as = ("median",)
    assumes = "in every coordinate fewer than half of the values come from attackers"

    def step(self, state: State, seen: Round) -> Aggregated:
        """Take the middle."""
        m = len(seen.ids)
        return Aggregated(mean_of_the_rest(seen.updates, (m - 1) // 2), state)


@dataclass(frozen=True)
class TrimmedMean(Aggregator):
    """Average every coordinate without its lowest and its highest values.

    Each client counts once, and nobody is named.

    Published code: Lockdown's (147ec87) calls a trimmed mean that it does not define.

    Attributes:
        assumed: how many values are cut at each end, which is the number of attackers that it
            withstands; None: a fifth of the clients of a round.
    """

    paper = PAPER
    links = LINKS
    assumes = "in every coordinate no more values come from attackers than are cut at each end"

    assumed: int | None = None

    def least(self) -> int:
        """Give 2 f + 1."""
        return 2 * checked(self.assumed) + 1

    def step(self, state: State, seen: Round) -> Aggregated:
        """Cut and average."""
        m = len(seen.ids)
        cut = assumed_among(self.assumed, m // 5, (m - 1) // 2)
        return Aggregated(mean_of_the_rest(seen.updates, cut), state)
