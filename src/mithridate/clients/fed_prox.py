"""A pull of every client towards the global model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.core.objective import Batch, Objective
from mithridate.core.protocols import ClientProtocol
from mithridate.core.steering import pieces

Combine: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Makes one number of a mean loss and a squared distance."""


@dataclass(frozen=True)
class FedProx(ClientProtocol):
    """Let every client pay for its distance from the model that it was sent.

    Each minimises its mean loss + strength / 2 |w - w_t|^2, so that clients with unlike data drift
    less apart. With strength 0 it is plain descent.

    Attributes:
        strength: mu, the weight of the squared distance; the paper tries 0.001 to 1.
    """

    paper = "Li et al., Federated Optimization in Heterogeneous Networks, MLSys 2020"
    links = ("https://arxiv.org/abs/1812.06127",)
    known_as = ("fedprox",)

    strength: float = 0.01

    def objective(self, model: nn.Module, start: torch.Tensor) -> Objective | None:
        """Add the pull; raises MethodError where the strength is negative."""
        if self.strength < 0:
            raise MethodError(f"the strength of a pull must not be negative, found {self.strength}")
        return near(model, start, lambda loss, far: loss + self.strength / 2 * far)


def near(model: nn.Module, start: torch.Tensor, together: Combine) -> Objective:
    """Give an objective of the mean loss and the squared distance from parameters float32[p]."""
    parameters = [p for p in model.parameters() if p.is_floating_point()]
    origin = [piece.clone() for piece in pieces(start, parameters)]

    def objective(batch: Batch) -> torch.Tensor:
        parts = zip(parameters, origin, strict=True)
        far = torch.stack([(p - o).square().sum() for p, o in parts]).sum()
        return together(batch.losses.mean(), far)

    return objective
