"""Robust learning rate: coordinates on whose direction too few clients agree are turned back.

Axes: m clients, p parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.aggregators.blocks import blocks
from mithridate.core.errors import MethodError
from mithridate.core.federated import Aggregated, Aggregator, Round
from mithridate.core.method import State


@dataclass(frozen=True)
class RobustLearningRate(Aggregator):
    """Turn a coordinate of the mean back where too few clients agree on its direction.

        step_j =  mean_j   where |sum_i sign(u_ij)| >= threshold
        step_j = -mean_j   elsewhere

    with the mean by the clients' examples. A number that is exactly 0 has no direction. Many
    coordinates on which honest clients disagree are turned back as well, which costs accuracy.

    Attributes:
        threshold: of the agreement, more than the attackers and at most the clients less the
            attackers; None: one more than a fifth of the clients of a round.
    """

    paper = (
        "Ozdayi, Kantarcioglu and Gel, Defending against Backdoors in Federated Learning with "
        "Robust Learning Rate, AAAI 2021"
    )
    links = ("https://arxiv.org/abs/2007.03767",)
    known_as = ("rlr",)
    obeys = frozenset({"scale"})
    assumes = "fewer clients attack than the threshold says, and honest ones agree on directions"

    threshold: int | None = None

    def least(self) -> int:
        """Give the threshold: fewer clients cannot reach it."""
        return max(self.threshold or 1, 1)

    def step(self, state: State, seen: Round) -> Aggregated:
        """Vote, and average."""
        threshold = self._threshold(len(seen.ids))
        weights = seen.sizes.double() / seen.sizes.double().sum()
        step = torch.empty(seen.updates.shape[1], device=seen.updates.device)
        for place, block in blocks(seen.updates):
            agreed = block.sign().sum(0).abs() >= threshold
            mean = weights @ block
            step[place] = torch.where(agreed, mean, -mean).float()
        return Aggregated(step, state)

    def _threshold(self, m: int) -> int:
        if self.threshold is not None and self.threshold < 1:
            raise MethodError(f"threshold={self.threshold}: expected 1 or more, or None")
        return m // 5 + 1 if self.threshold is None else self.threshold
