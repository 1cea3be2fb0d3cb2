"""Attackers who plant nothing and only spoil the model, for contrast.

Axes: h honest updates of a round, p numbers of a model's parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import torch

from mithridate.core.clients import ClientAttack, Known
from mithridate.core.errors import MethodError
from mithridate.core.method import Attack


@dataclass(frozen=True)
class LittleIsEnough(ClientAttack):
    """Send the mean of the honest updates, moved by so little that many honest ones are farther.

    u' = mean - z std in each number. With m clients, f of them attackers, s = floor(m / 2 + 1) - f
    honest ones must be farther out for the attackers to pass as the middle, so z is the normal
    quantile of (m - f - s) / (m - f).

    Attributes:
        data: an attack on the data, which is trained on and then not sent.
        partners: f, how many attackers act together, at least 1.
        z: the number of standard deviations; 0 takes that of the formula.
    """

    paper = "Baruch et al., A Little Is Enough, NeurIPS 2019"
    links = ("https://arxiv.org/abs/1902.06156",)
    known_as = ("alie",)
    level = "strong"

    data: Attack | None = None
    partners: int = 1
    z: float = 0.0

    def submit(self, update: torch.Tensor, known: Known, rng: np.random.Generator) -> torch.Tensor:
        """Move the mean; raises MethodError where nobody is honest."""
        others = _others(known)
        return others.mean(0) - (self.z or self._z(len(others))) * others.std(0, correction=0)

    def _z(self, honest: int) -> float:
        """The quantile of the formula, 0 where attackers are so many that any place will do."""
        farther = max(0, (honest + self.partners) // 2 + 1 - self.partners)
        share = (honest - farther) / honest
        return max(0.0, NormalDist().inv_cdf(min(max(share, 0.5), 1 - 1e-6)))


@dataclass(frozen=True)
class InnerProductManipulation(ClientAttack):
    """Send the negative mean of the honest updates, scaled.

    u' = -epsilon mean; a small epsilon passes distances and still turns the inner product of the
    step with the true one.

    Attributes:
        data: an attack on the data, which is trained on and then not sent.
        epsilon: the factor.
    """

    paper = "Xie, Koyejo and Gupta, Fall of Empires, UAI 2019"
    links = ("https://arxiv.org/abs/1903.03936",)
    known_as = ("ipm",)
    level = "strong"

    data: Attack | None = None
    epsilon: float = 0.5

    def submit(self, update: torch.Tensor, known: Known, rng: np.random.Generator) -> torch.Tensor:
        """Turn the mean round; raises MethodError where nobody is honest."""
        return -self.epsilon * _others(known).mean(0)


@dataclass(frozen=True)
class MinMax(ClientAttack):
    """Go as far from the mean as the two most distant honest updates are from each other.

    u' = mean - gamma std with the largest gamma for which max_i |u' - u_i| <= max_ij |u_i - u_j|,
    found by halving.

    Attributes:
        data: an attack on the data, which is trained on and then not sent.
        halvings: of the interval of gamma.
    """

    paper = "Shejwalkar and Houmansadr, Manipulating the Byzantine, NDSS 2021"
    level = "strong"

    data: Attack | None = None
    halvings: int = 20

    def submit(self, update: torch.Tensor, known: Known, rng: np.random.Generator) -> torch.Tensor:
        """Search for gamma; raises MethodError where nobody is honest."""
        others = _others(known)
        mean, spread = others.mean(0), others.std(0, correction=0)
        apart = max(float((others - u).norm(dim=1).max()) for u in others)
        low, high = 0.0, 2 * apart / max(float(spread.norm()), 1e-12)
        for _ in range(self.halvings):
            middle = (low + high) / 2
            fits = float((mean - middle * spread - others).norm(dim=1).max()) <= apart
            low, high = (middle, high) if fits else (low, middle)
        return mean - low * spread


def _others(known: Known) -> torch.Tensor:
    """The honest updates, float32[h, p]; raises MethodError where there are none."""
    if not len(known.others):
        raise MethodError(
            "this attacker imitates the honest clients of a round and found none; let more take "
            "part, or make fewer of them attackers"
        )
    return known.others
