"""FLTrust: clients are trusted as far as they point where the server's own data point.

Axes: m clients, p parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mithridate.aggregators.blocks import blocks, norms, weighted_sum
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State


@dataclass(frozen=True)
class FLTrust(Aggregator):
    """Weigh clients by their cosine to the update of data that the server trusts.

        t_i = max(0, cos(u_i, root))
        step = sum_i t_i |root| u_i / |u_i| / sum_i t_i

    Every update is given the length of the server's. Where nobody points its way the step is 0.
    Each client counts once, whatever its examples.

    Published code: in BackFed (ab3bcbd) the server's update is set by nobody, so that it averages
    like FedAvg.
    """

    paper = (
        "Cao et al., FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping, "
        "NDSS 2021"
    )
    links = ("https://arxiv.org/abs/2012.13995",)
    spelled = "fltrust"
    needs: ClassVar[frozenset[str]] = frozenset({"root"})
    obeys = frozenset({"scale"})
    assumes = "the server has clean data that are like those of the clients"

    def step(self, state: State, seen: Round) -> Aggregated:
        """Trust, and average."""
        root = seen.updates.new_zeros(0) if seen.root is None else seen.root  # checked before
        length, own = norms(seen.updates), norms(root[None])[0]
        along = torch.zeros_like(length)
        for place, block in blocks(seen.updates):
            along += block @ root[place].double()
        cosine = along / length.clamp_min(1e-300) / own.clamp_min(1e-300)
        trusted = cosine.clamp(0, 1)
        total = trusted.sum()
        weights = trusted * own / length.clamp_min(1e-300) / total.clamp_min(1e-300)
        trust = trusted / trusted.max().clamp_min(1e-300)
        step = weighted_sum(seen.updates, torch.where(trusted > 0, weights, 0.0))
        return Aggregated(step, state, trust.float(), 1 - cosine)
