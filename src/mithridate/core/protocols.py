"""The contract of what every client of a federation does beside plain descent.

Axes: M clients of a federation, p numbers of a model's parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from mithridate.core.flat import FlatForm
from mithridate.core.method import Method, State
from mithridate.core.objective import Objective


class Visit(NamedTuple):
    """What a client knows of the round that it takes part in.

    Attributes:
        number: of the round, from 0.
        rounds: how many there will be.
        form: of the model.
        slopes: gives the gradient of the client's own mean loss at some parameters, float32[p],
            over so many batches, 0 for all.
    """

    number: int
    rounds: int
    form: FlatForm
    slopes: Callable[[torch.Tensor, int], torch.Tensor]


class ClientProtocol(Method):
    """What a federation asks of every client beside plain descent.

    A client's own state is a row of the state of all; one called `mask`, bool[p], isolates the
    client: outside of it parameters are sent and held as zeros and updates are not counted.
    """

    kind = "client-protocol"
    fuses: ClassVar[bool] = False
    """Whether `fuse` gives another model to deploy."""

    def init(self, form: FlatForm, clients: int, rng: np.random.Generator) -> State:
        """Give the state of all clients before the first round; the first axis is M."""
        return {}

    def begin(self, own: State, start: torch.Tensor, visit: Visit) -> State:
        """Give a client's state after it was sent the parameters `start`, and before it trains."""
        return own

    def end(self, own: State, trained: torch.Tensor, visit: Visit) -> State:
        """Give a client's state after it has trained to parameters float32[p]."""
        return own

    def objective(self, model: nn.Module, start: torch.Tensor) -> Objective | None:
        """Give what clients minimise in place of the mean loss; None: the mean loss."""
        return None

    def fuse(self, masks: torch.Tensor) -> torch.Tensor:
        """Give the numbers that the deployed model keeps, bool[p], by the masks bool[M, p]."""
        return torch.ones_like(masks[0])
