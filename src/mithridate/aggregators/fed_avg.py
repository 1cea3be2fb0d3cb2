"""Federated averaging: the mean of all updates, by the examples of each client."""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.aggregators.blocks import weighted_mean
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State


@dataclass(frozen=True)
class FedAvg(Aggregator):
    """Average all updates, each by the number of its examples.

        step = sum_i n_i u_i / sum_i n_i

    It weighs nobody by what was sent, so one client can move the step anywhere: it stands for no
    defence, and an attack that does not take against it is no attack. The numbers n_i are those
    that the intake believes.

    Attributes:
        weighted: whether clients count by their examples; without it each counts once.
    """

    paper = (
        "McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized "
        "Data, AISTATS 2017"
    )
    links = ("https://arxiv.org/abs/1602.05629",)
    spelled = "fedavg"
    assumes = "every client is honest"

    weighted: bool = True

    def step(self, state: State, seen: Round) -> Aggregated:
        """Average."""
        weights = seen.sizes if self.weighted else seen.sizes.new_ones(len(seen.sizes))
        return Aggregated(weighted_mean(seen.updates, weights), state)
