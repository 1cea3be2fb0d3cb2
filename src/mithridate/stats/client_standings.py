"""Where each client of a federation stands after several rounds, by what an aggregator said of it.

Axes: k clients that took part, m clients of a round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from mithridate.core.federated import Aggregated
from mithridate.core.scores import Scores

MOST = 10.0
"""The most that one round counts, in robust standard deviations: one update far away is not all."""


class JudgedRound(NamedTuple):
    """One round as it is judged.

    Attributes:
        ids: int64[m], the clients.
        answer: what the aggregator made of it.
    """

    ids: torch.Tensor
    answer: Aggregated


@dataclass(frozen=True, eq=False)
class Standings:
    """How suspicious each client is over all its rounds.

    Attributes:
        ids: int64[k], ascending.
        scores: of the clients, larger is more suspicious.
        left_out: float64[k], share of its rounds in which a client was left out; not a number
            where the aggregator leaves nobody out.
        rounds: int64[k], in which each took part.
    """

    ids: torch.Tensor
    scores: Scores
    left_out: torch.Tensor
    rounds: torch.Tensor


def standings(rounds: Sequence[JudgedRound]) -> Standings | None:
    """Average over rounds how far a client's suspicion lies above that of the others.

        z_i = (s_i - median(s)) / (1.4826 median |s - median(s)|), bounded to -10..10, each round

    Where most clients of a round have the same suspicion, their mean deviation takes the place of
    the median one. Gives None where the aggregator ranks nobody.
    """
    ranked = [(r.ids, s, r.answer.trust) for r in rounds if (s := suspicion(r.answer)) is not None]
    if not ranked:
        return None
    ids = torch.cat([ids for ids, _, _ in ranked]).unique()
    score, out = torch.zeros(len(ids)).double(), torch.zeros(len(ids)).double()
    count = torch.zeros(len(ids), dtype=torch.int64)
    for clients, values, trust in ranked:
        place = torch.searchsorted(ids, clients)
        score[place] += above_others(values)
        out[place] += float("nan") if trust is None else (trust == 0).double()
        count[place] += 1
    return Standings(ids, Scores(score / count, "client"), out / count, count)


def suspicion(answer: Aggregated) -> torch.Tensor | None:
    """Give what an aggregator ranks the clients of a round by, float64[m]; None where nothing."""
    if answer.suspicion is not None:
        return answer.suspicion.double().cpu()
    return None if answer.trust is None else 1 - answer.trust.double().cpu()


def above_others(values: torch.Tensor) -> torch.Tensor:
    """Say how far each value lies above the median in robust standard deviations, float64[m]."""
    middle = values.quantile(0.5)
    away = values - middle
    spread = 1.4826 * away.abs().quantile(0.5)
    if bool(spread <= 1e-9 * middle.abs()):  # what rounding leaves is no spread
        spread = away.abs().mean()
    return (away / spread.clamp_min(1e-300)).clamp(-MOST, MOST)
