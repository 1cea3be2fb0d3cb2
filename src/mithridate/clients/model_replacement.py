"""Attackers who scale what they send until it stands for the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mithridate.clients.fed_prox import near
from mithridate.core.clients import ClientAttack, Known
from mithridate.core.errors import MethodError
from mithridate.core.method import Attack
from mithridate.core.objective import Objective


@dataclass(frozen=True)
class ModelReplacement(ClientAttack):
    """Scale the poisoned update so that the mean becomes the attacker's model.

    Sends u' = gamma u. The plain mean counts the client by its share s, so gamma = 1 / s puts the
    attacker's own model in the place of the global one once the others stand still.

    Attributes:
        data: the attack on the data.
        gamma: the factor; 0 takes 1 / s.
    """

    paper = "Bagdasaryan et al., How To Backdoor Federated Learning, AISTATS 2020"
    links = ("https://arxiv.org/abs/1807.00459",)
    known_as = ("scaling",)
    level = "medium"

    data: Attack | None = None
    gamma: float = 0.0

    def submit(self, update: torch.Tensor, known: Known, rng: np.random.Generator) -> torch.Tensor:
        """Scale."""
        return scaled(update, self.gamma, known)


@dataclass(frozen=True)
class ConstrainAndScale(ClientAttack):
    """Train to poison and to stay near the global model, then scale.

    Minimises weight * loss + (1 - weight) |w - w_t|^2, the distance standing for what a server
    would notice, and sends gamma u.

    Attributes:
        data: the attack on the data.
        weight: of the loss, in (0, 1].
        gamma: the factor; 0 takes 1 / s, s being the client's share of the mean.
    """

    paper = "Bagdasaryan et al., How To Backdoor Federated Learning, AISTATS 2020"
    links = ("https://arxiv.org/abs/1807.00459",)
    level = "medium"

    data: Attack | None = None
    weight: float = 0.7
    gamma: float = 0.0

    def objective(self, model: nn.Module, known: Known) -> Objective | None:
        """Add the distance; raises MethodError where the weight is out of range."""
        if not 0 < self.weight <= 1:
            raise MethodError(f"expected the weight of the loss in (0, 1], found {self.weight}")
        weight = self.weight
        return near(model, known.start, lambda loss, far: weight * loss + (1 - weight) * far)

    def submit(self, update: torch.Tensor, known: Known, rng: np.random.Generator) -> torch.Tensor:
        """Scale."""
        return scaled(update, self.gamma, known)


def scaled(update: torch.Tensor, gamma: float, known: Known) -> torch.Tensor:
    """Give gamma u; 1 / s where gamma is 0.

    Raises:
        MethodError: where gamma is negative.
    """
    if gamma < 0:
        raise MethodError(f"the factor of an update must not be negative, found gamma={gamma}")
    return update * (gamma or 1 / known.share)
