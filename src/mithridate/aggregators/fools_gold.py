"""FoolsGold: clients whose histories point the same way are taken for one.

Axes: m clients of a round, k clients that were seen before, d numbers of the last layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mithridate.aggregators.blocks import weighted_mean
from mithridate.aggregators.distances import cosines
from mithridate.aggregators.remembering import recalled, renewed
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State


@dataclass(frozen=True)
class FoolsGold(Aggregator):
    """Weigh clients down whose summed updates resemble those of another.

        h_i = sum of u_i over all rounds, in the last linear layer
        v_i = max over j of c_ij = cos(h_i, h_j), at least 0
        a_i = 1 - max over j of c_ij min(1, v_i / v_j), divided by the largest of them
        w_i = ln(a_i / (1 - a_i)) + 0.5, bounded to 0..1
        step = sum_i w_i u_i / sum_i w_i

    The paper sums the weighted updates; they are averaged here, so that one rate of the server
    serves all aggregators. Where all weights are 0 the step is 0. A single attacker resembles
    nobody and is weighed most; so is the only client of its kind, and honest clients with like
    data are taken for attackers.
    """

    paper = (
        "Fung, Yoon and Beschastnikh, The Limitations of Federated Learning in Sybil Settings, "
        "RAID 2020"
    )
    links = ("https://arxiv.org/abs/1808.04866",)
    spelled = "foolsgold"
    needs: ClassVar[frozenset[str]] = frozenset({"head"})
    obeys = frozenset({"scale"})
    assumes = "attackers are several and want the same, and honest clients want different things"

    def init(self, p: int) -> State:
        """Know nobody."""
        return {
            "ids": torch.zeros(0, dtype=torch.int64),
            "history": torch.zeros(0, 0, dtype=torch.float64),
        }

    def step(self, state: State, seen: Round) -> Aggregated:
        """Remember, compare and average."""
        layer = last_layer(seen)
        before = state["history"]
        kept = before if before.numel() else before.new_zeros(0, layer.shape[1])
        history = recalled(state["ids"], kept, seen.ids) + layer.double()
        weights, alike = fools_gold_weights(history)
        known, rows = renewed(state["ids"], kept, seen.ids, history)
        fresh = {"ids": known, "history": rows}
        largest = weights.max().clamp_min(1e-300)
        step = weighted_mean(seen.updates, weights)
        return Aggregated(step, fresh, (weights / largest).float(), alike)


def last_layer(seen: Round) -> torch.Tensor:
    """Give the numbers of the last linear layer in each update, float32[m, d]."""
    head = seen.head
    spans = [] if head is None else [head.weight] + ([head.bias] if head.bias else [])
    return torch.cat([seen.updates[:, start:end] for start, end in spans], 1)


def fools_gold_weights(history: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the weight of each client and its largest cosine to another, float64[m] each.

    Args:
        history: [m, d], the summed updates.
    """
    m = len(history)
    if m == 1:
        return torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    cosine = cosines(history).fill_diagonal_(0)
    largest = cosine.max(1).values
    pardon = (largest[:, None] / largest.clamp_min(1e-300)).clamp_max(1)
    forgiven = (cosine * pardon).fill_diagonal_(0)
    alone = (1 - forgiven.max(1).values).clamp(0, 1)
    alone = alone / alone.max().clamp_min(1e-300)
    weights = ((alone / (1 - alone).clamp_min(1e-300)).clamp_min(1e-300).log() + 0.5).clamp(0, 1)
    return weights, largest
