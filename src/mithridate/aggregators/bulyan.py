"""Bulyan: updates that Krum picks one by one, and of these the middle in every coordinate.

Axes: m clients, s of them selected, p parameters, b numbers of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.aggregators.assuming import assumed_among, checked
from mithridate.aggregators.blocks import blocks
from mithridate.aggregators.distances import ranked, squared_distances
from mithridate.aggregators.krum import krum_scores
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State


@dataclass(frozen=True)
class Bulyan(Aggregator):
    """Pick updates by Krum one at a time, then average what lies nearest to their median.

    1. Krum takes one of the clients that remain, s = m - 2 f times, each time with scores of those
       that remain.
    2. In each coordinate the s - 2 f values nearest to the median of the selected ones are
       averaged; of two that are equally near, the lower one.

    Towards the end so few remain that Krum's m' - f - 2 neighbours are none; then the nearest one
    counts. Published code: Flower 1.42 selects all at once by the first scores, which is not the
    iteration of the paper.

    Attributes:
        assumed: f; None: the most that the paper allows for the clients of a round, (m - 3) / 4.
    """

    paper = (
        "El Mhamdi, Guerraoui and Rouault, The Hidden Vulnerability of Distributed Learning in "
        "Byzantium, ICML 2018"
    )
    links = ("https://arxiv.org/abs/1802.07927",)
    assumes = "fewer than a quarter of the clients attack"

    assumed: int | None = None

    def least(self) -> int:
        """Give 4 f + 3."""
        return 4 * checked(self.assumed) + 3

    def step(self, state: State, seen: Round) -> Aggregated:
        """Select, and average the middle."""
        m = len(seen.ids)
        f = assumed_among(self.assumed, (m - 3) // 4, m)
        order = selection(squared_distances(seen.updates), seen.ids, f, m - 2 * f)
        chosen = torch.tensor(sorted(order))
        trust, place = torch.zeros(m), torch.full((m,), float(len(order)), dtype=torch.float64)
        trust[chosen] = 1
        place[order] = torch.arange(len(order), dtype=torch.float64)
        step = torch.empty(seen.updates.shape[1])
        for columns, block in blocks(seen.updates):
            step[columns] = middle(block[chosen], len(order) - 2 * f).float()
        return Aggregated(step, state, trust, place)


def selection(squared: torch.Tensor, ids: torch.Tensor, f: int, count: int) -> list[int]:
    """Let Krum take clients one by one, and give their positions in the order taken.

    Args:
        squared: float64[m, m], squared distances.
        ids: int64[m], who decide between equals.
        f: attackers that are assumed.
        count: how many are taken.
    """
    remaining, taken = list(range(len(ids))), list[int]()
    while len(taken) < count:
        rest = torch.tensor(remaining)
        if len(remaining) == 1:
            taken.append(remaining.pop())
            continue
        scores = krum_scores(squared[rest][:, rest], f)
        taken.append(remaining.pop(int(ranked(scores, ids[rest])[0])))
    return taken


def middle(values: torch.Tensor, count: int) -> torch.Tensor:
    """Average in each column the values nearest to its median, float64[b].

    They lie side by side in the sorted column: the run moves up while what comes in is nearer to
    the median than what goes out.

    Args:
        values: float64[s, b].
        count: how many of the s are averaged.
    """
    ordered = values.sort(0).values
    s = len(ordered)
    median = (ordered[(s - 1) // 2] + ordered[s // 2]) / 2
    nearer = ordered[count:] - median < median - ordered[: s - count]
    start = nearer.sum(0)
    rows = start + torch.arange(count)[:, None]
    return ordered.gather(0, rows).mean(0)
