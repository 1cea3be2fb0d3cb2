"""What one client does in one round of a federation, honest or not.

Axes: p numbers of the parameters, q numbers of the running moments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from torch import nn

from mithridate.core.clients import ClientAttack, Known
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, Wrap, fit
from mithridate.core.flat import FlatForm
from mithridate.core.gradient import mean_gradient
from mithridate.core.method import State
from mithridate.core.objective import Objective
from mithridate.core.protocols import ClientProtocol, Visit
from mithridate.core.runtime import Runtime
from mithridate.core.steering import both, weights_within
from mithridate.core.training_run import TrainingRun

Slopes: TypeAlias = Callable[[torch.Tensor, int], torch.Tensor]
"""Gives the gradient of a client's mean loss at some parameters, over so many batches."""


class Begun(NamedTuple):
    """What the server sends to every client of a round: parameters[p], moments[q], its number."""

    flat: torch.Tensor
    moments: torch.Tensor
    number: int
    rounds: int


class Answered(NamedTuple):
    """What a client has at the end of a round.

    Attributes:
        update: float32[p], trained minus sent parameters, zero outside of its mask.
        moments: float32[q], its running moments.
        own: its state in the protocol.
        loss: the mean over its examples in the last epoch.
    """

    update: torch.Tensor
    moments: torch.Tensor
    own: State
    loss: float


@dataclass(frozen=True, eq=False)
class LocalRound:
    """The training of clients, one after another in one working copy of the model.

    Attributes:
        work: the model that is trained; every client begins by writing into it.
        form: of the model.
        domain: that the data are of.
        training: how long and how fast.
        protocol: what is asked of clients beside plain descent.
        runtime: where to compute.
    """

    work: nn.Module
    form: FlatForm
    domain: Domain
    training: TrainingConfig
    protocol: ClientProtocol
    runtime: Runtime

    def __call__(
        self, begun: Begun, data: Dataset, own: State, rng: np.random.Generator,
        attacker: tuple[ClientAttack, Known] | None = None,
    ) -> Answered:  # fmt: skip
        """Let one client train; what it sends may be changed later, see `ClientAttack.submit`.

        Args:
            own: The client's state in the protocol.
            rng: Of this client in this round; the training draws from it first.
            attacker: The client's attack and what it knows; None for an honest client.
        """
        seed = rng.spawn(1)[0]
        visit = Visit(begun.number, begun.rounds, self.form, self._slopes(begun, data, seed))
        held, mine = own.get("mask"), self._chosen(own, attacker)
        began = mine or self.protocol.begin(own, begun.flat, visit)
        mask = began.get("mask")
        seen = held if mine is None else mask  # what is searched for anew restarts at zero
        entered = begun.flat if seen is None else begun.flat * seen
        self.form.write(self.work, entered, begun.moments)
        run = TrainingRun(self.runtime, objective=self._objective(begun, attacker))
        wrap = self._wrap(mask, attacker)
        made = fit(self.work, data, self.domain, self.training, rng, run, wrap=wrap)
        state = made.model.state_dict()
        trained = self.form.flatten(state).cpu()
        ended = mine or self.protocol.end(began, trained, visit)
        update = trained - begun.flat
        if mask is not None:
            update = update * ended["mask"]
        loss = float(made.losses[:, -1].nanmean())
        return Answered(update, self.form.moments_of(state).cpu(), ended, loss)

    def _slopes(self, begun: Begun, data: Dataset, rng: np.random.Generator) -> Slopes:
        """The gradient of the client's loss wherever it is asked for."""

        def slopes(flat: torch.Tensor, batches: int) -> torch.Tensor:
            self.form.write(self.work, flat, begun.moments)
            return mean_gradient(
                self.work, data, self.domain, self.training, self.runtime, rng, batches
            )

        return slopes

    def _chosen(self, own: State, attacker: tuple[ClientAttack, Known] | None) -> State | None:
        """The state of an attacker that takes a mask of its own choice, else None."""
        if attacker is None or "mask" not in own:
            return None
        attack, known = attacker
        mask = attack.mask(own["mask"], known)
        return None if mask is None else {**own, "mask": mask}

    def _objective(
        self, begun: Begun, attacker: tuple[ClientAttack, Known] | None
    ) -> Objective | None:
        """What is minimised: the attacker's aim comes before that of the protocol."""
        aim = None
        if attacker is not None:
            aim = attacker[0].objective(self.work, attacker[1])
        if isinstance(aim, nn.Module):
            raise MethodError(
                f"{type(aim).__name__} has parameters of its own, which no client can send; "
                "give an objective without any"
            )
        return aim or self.protocol.objective(self.work, begun.flat)

    def _wrap(
        self, mask: torch.Tensor | None, attacker: tuple[ClientAttack, Known] | None
    ) -> Wrap | None:
        """How steps are taken: the attacker's way, and within the mask."""
        within = None if mask is None else weights_within(mask)
        return both(attacker[0].wrap(attacker[1]) if attacker else None, within)
