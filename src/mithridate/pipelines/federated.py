"""The engine of a federation: clients train one after another, and a server makes one step of it.

Every stream is named by its place, the round and the client, so who runs the clients and in which
order changes no bit; a federation that was stopped goes on at its round with the same bits.
Axes: M clients, m of them in a round, p numbers of the parameters, q of the running moments.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import nn

from mithridate.aggregators.fed_avg import FedAvg
from mithridate.clients.plain_descent import PlainDescent
from mithridate.core.clients import ClientAttack, Known
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.federated import Aggregated, Aggregator, Answers, Round
from mithridate.core.fit import TrainingConfig
from mithridate.core.flat import FlatForm
from mithridate.core.protocols import ClientProtocol
from mithridate.core.spelling import spoken
from mithridate.core.streams import stream, torch_generator
from mithridate.core.training_run import TrainingRun
from mithridate.pipelines.federation_evidence import client_lines
from mithridate.pipelines.federation_kept import Kept, ServerState
from mithridate.pipelines.federation_lines import RoundLine
from mithridate.pipelines.intake import Intake
from mithridate.pipelines.local_round import Answered, Begun, LocalRound

LOCAL = TrainingConfig(
    epochs=2, batch_size=64, learning_rate=0.1, momentum=0.0, weight_decay=1e-4, augment=False,
    schedule="flat",
)  # fmt: skip
"""How clients train by default, as in the paper of Lockdown."""

NOISE = 256
"""Inputs of noise that a server may ask a model about."""

Look: TypeAlias = Callable[[nn.Module, int], Mapping[str, float]]
"""Is given the global model after a round, and its number; gives what is worth keeping of it."""

Attackers: TypeAlias = Mapping[int, ClientAttack]
"""Who attacks among the clients, and how."""


@dataclass(frozen=True, eq=False)
class Federated:
    """What came out of a federation.

    Attributes:
        model: the one to deploy: fused where the protocol fuses, else as it was aggregated.
        unfused: the aggregated model where another one is deployed, else None.
        lines: what the server saw, round by round.
        cost: seconds, and examples passed forward and backward by all clients.
    """

    model: nn.Module
    unfused: nn.Module | None
    lines: tuple[RoundLine, ...]
    cost: dict[str, float]


@dataclass(frozen=True)
class Federation:
    """How a federation is run, whatever its data and model.

    Attributes:
        aggregator: how the server makes one step of the updates.
        protocol: what clients are asked to do beside plain descent.
        rounds: how often.
        training: of each client in each round.
        participation: share of the clients that are asked in a round, drawn anew each time.
        server_rate: what a step is multiplied by; the same in all rows of a table.
        moments: "aggregated", running moments are the mean over the clients that the aggregator
            kept; "kept", they stay the server's. They enter no distance either way.
    """

    aggregator: Aggregator = field(default_factory=FedAvg)
    protocol: ClientProtocol = field(default_factory=PlainDescent)
    rounds: int = 15
    training: TrainingConfig = LOCAL
    participation: float = 1.0
    server_rate: float = 1.0
    moments: Literal["aggregated", "kept"] = "aggregated"

    def run(
        self, model: nn.Module, clients: Sequence[Dataset], domain: Domain,
        rng: np.random.Generator, run: TrainingRun | None = None, *,
        attackers: Attackers | None = None, root: Dataset | None = None, look: Look | None = None,
    ) -> Federated:  # fmt: skip
        """Run the federation from a model, which is changed in place.

        Args:
            model: what the server begins with.
            clients: what each client trains on, that of attackers poisoned already.
            domain: that the data are of.
            rng: decides every bit.
            run: where it computes, who is told of rounds, where it is kept; see `TrainingRun`.
            attackers: who attacks, by place among the clients.
            root: trusted data of the server, for aggregators that need them.
            look: measures the model after every round; with a protocol that fuses, both forms.

        Raises:
            MethodError: where a setting is out of range, or the aggregator needs more than this
                federation has.
        """
        self.check(clients, attackers or {}, root, run)
        server = _Server(
            self, model, clients, domain, int(rng.integers(2**62)), run or TrainingRun(),
            attackers or {}, root, look,
        )  # fmt: skip
        return server.go()

    def asked(self, clients: int, seed: int, number: int) -> list[int]:
        """Draw who is asked in a round, in ascending order."""
        count = max(1, round(self.participation * clients))
        if count == clients:
            return list(range(clients))
        drawn = stream(seed, "round", number, "asked").permutation(clients)[:count]
        return sorted(drawn.tolist())

    def check(
        self, clients: Sequence[Dataset], attackers: Attackers, root: Dataset | None,
        run: TrainingRun | None = None,
    ) -> None:  # fmt: skip
        """Refuse what cannot be run; raises MethodError."""
        m, strange = len(clients), sorted(i for i in attackers if not 0 <= i < len(clients))
        isolates = self.protocol.fuses
        root_of = spoken("give root=", "name them by --trusted")
        some = 0 < self.participation <= 1
        asked, least = max(1, round(self.participation * m)) if some else m, self.aggregator.least()
        wrong = {
            f"expected 1 round or more, found {self.rounds}": self.rounds < 1,
            "a federation needs clients, found none": not m,
            f"expected participation in (0, 1], found {self.participation}": not some,
            f"expected a server_rate above 0, found {self.server_rate}":
                not 0 < self.server_rate < math.inf,
            f"attackers must be clients 0..{m - 1}, found {strange[:5]}": bool(strange),
            f"{self.aggregator.name()} as it is set needs at least {least} clients in a round, "
            f"and {asked} are asked; let more take part, or assume fewer attackers": asked < least,
            f"{self.aggregator.name()} needs trusted data of the server; {root_of}":
                "root" in self.aggregator.needs and root is None,
            f"{self.aggregator.name()} needs clients that isolate themselves in masks; give the "
            "protocol isolated-subspace": "masks" in self.aggregator.needs and not isolates,
            "a federation takes no objective; give a protocol or an attack of a client that has it":
                run is not None and run.objective is not None,
        }  # fmt: skip
        if any(wrong.values()):
            raise MethodError(next(why for why, bad in wrong.items() if bad))


class _Server:
    """A federation while it runs."""

    def __init__(
        self, federation: Federation, model: nn.Module, clients: Sequence[Dataset], domain: Domain,
        seed: int, run: TrainingRun, attackers: Attackers, root: Dataset | None, look: Look | None,
    ) -> None:  # fmt: skip
        self.federation, self.model, self.clients, self.domain = federation, model, clients, domain
        self.seed, self.run, self.attackers, self.root = seed, run, attackers, root
        self.look, self.form = look, FlatForm.of(model)
        self.protocol = federation.protocol
        state = model.state_dict()
        flat = self.form.flatten(state).cpu()
        self.now = ServerState(
            flat, self.form.moments_of(state).cpu(), torch.zeros_like(flat),
            federation.aggregator.init(self.form.size),
            self.protocol.init(self.form, len(clients), stream(seed, "protocol")),
        )  # fmt: skip
        work = copy.deepcopy(model)
        self.local = LocalRound(
            work, self.form, domain, federation.training, self.protocol, run.runtime
        )
        self.lines: list[RoundLine] = []

    def go(self) -> Federated:
        """Run the rounds that are missing."""
        began, total = time.perf_counter(), self.federation.rounds
        kept = Kept(self.run.checkpoint, self._about())
        self.now, self.lines = kept.restore(self.now)
        first = len(self.lines)
        for number in range(first, total):
            self.lines.append(self.round(number))
            kept.save(self.now, self.lines)
            if self.run.progress:
                self.run.progress(number + 1, total)
        fused = self._fused(self.model) if self.protocol.fuses else None
        self.form.write(self.model, self.now.flat, self.now.moments)
        passes = float(self._passes(first))
        cost = {"seconds": time.perf_counter() - began, "forward": passes, "backward": passes}
        self.model.eval()
        deployed, unfused = (fused, self.model) if fused is not None else (self.model, None)
        return Federated(deployed, unfused, tuple(self.lines), cost)

    def round(self, number: int) -> RoundLine:
        """Let the clients of one round train, and make one step of what they send."""
        began = time.perf_counter()
        asked = self.federation.asked(len(self.clients), self.seed, number)
        begun = Begun(self.now.flat, self.now.moments, number, self.federation.rounds)
        intake = Intake(
            self.form, {client: len(self.clients[client]) for client in asked},
            masked="mask" in self.now.protocol,
        )  # fmt: skip
        trained = self._trained(begun, asked, intake)
        for client, answer in trained.items():
            for name, value in answer.own.items():
                self.now.protocol[name][client] = value
        void, seen, made = self._step(intake, number)
        losses = {client: answer.loss for client, answer in trained.items()}
        masks = self.now.protocol.get("mask")
        consensus = None if masks is None else self.protocol.fuse(masks)
        lines = client_lines(losses, intake.refused, seen, made, masks, consensus)
        spent = time.perf_counter() - began
        return RoundLine(number, lines, void, self._looked(number), round(spent, 3))

    def _trained(self, begun: Begun, asked: Sequence[int], intake: Intake) -> dict[int, Answered]:
        """Let clients train and send, honest ones first, since a strong attacker reads theirs."""
        honest = [client for client in asked if client not in self.attackers]
        read = any(self.attackers[c].level == "strong" for c in asked if c in self.attackers)
        answered: dict[int, Answered] = {}
        others: list[torch.Tensor] = []
        for client in [*honest, *(c for c in asked if c in self.attackers)]:
            own = {name: value[client] for name, value in self.now.protocol.items()}
            place = (self.seed, "round", begun.number, "client", client)
            attack = self.attackers.get(client)
            known = None if attack is None else self._known(client, begun, asked, others)
            attacker = None if attack is None or known is None else (attack, known)
            made = self.local(begun, self.clients[client], own, stream(*place), attacker)
            update = made.update
            if attacker is not None:
                update = attacker[0].submit(update, attacker[1], stream(*place, "submit"))
            elif read:
                others.append(update)
            mask, size = made.own.get("mask"), len(self.clients[client])
            intake.take(client, update, size, made.moments, mask)
            answered[client] = made._replace(update=update[:0])  # the intake holds it
        return dict(sorted(answered.items()))

    def _known(
        self, client: int, begun: Begun, asked: Sequence[int], others: Sequence[torch.Tensor],
    ) -> Known:  # fmt: skip
        """What an attacker may read in this round, as far as its level grants it."""
        sizes = {each: len(self.clients[each]) for each in asked}
        given: dict[str, Any] = {
            "data": self.clients[client], "start": begun.flat, "last_step": self.now.last_step,
            "segments": self.form.segments, "aggregator": self.federation.aggregator,
            "share": sizes[client] / sum(sizes.values()),
        }  # fmt: skip
        masks = self.now.protocol.get("mask")
        if masks is not None:
            given |= {"mask": masks[client], "masks": masks}
            given |= {"consensus": lambda: self.protocol.fuse(masks)}
        given["others"] = lambda: (
            torch.stack(list(others)) if others else begun.flat.new_zeros(0, self.form.size)
        )
        level = self.attackers[client].level
        return Known(level, client, begun.number, begun.rounds, **given)

    def _step(self, intake: Intake, number: int) -> tuple[str, Round | None, Aggregated | None]:
        """Move the global model; gives why it was left as it was, if so."""
        aggregator = self.federation.aggregator
        if intake.count < aggregator.least():
            why = f"{intake.count} clients were let in, and {aggregator.least()} are needed"
            self.now.last_step = torch.zeros_like(self.now.last_step)
            return why, None, None
        given: dict[str, Any] = {"seed": int(stream(self.seed, "round", number).integers(2**62))}
        if "root" in aggregator.needs:
            given["root"] = self._rooted(number)
        if "answers" in aggregator.needs:
            given["answers"] = self._answers(number)
        seen = intake.round(number, **given)
        made = aggregator.aggregate(self.now.aggregator, seen)
        if self.federation.moments == "aggregated" and self.form.moments:
            self.now.moments = intake.mean_moments(made.trust)
        self.now.last_step = self.federation.server_rate * made.step
        self.now.flat = self.now.flat + self.now.last_step
        self.now.aggregator = made.state
        return "", seen, made

    def _looked(self, number: int) -> dict[str, dict[str, float]]:
        """What is measured of the model after a round, in each of its forms."""
        if self.look is None:
            return {}
        forms = {"model": self.local.work}
        if self.protocol.fuses:
            forms = {"fused": self._fused(self.local.work), "unfused": self.local.work}
        self.form.write(self.local.work, self.now.flat, self.now.moments)
        seen = {name: dict(self.look(form.eval(), number)) for name, form in forms.items()}
        return {name: values for name, values in seen.items() if values}

    def _fused(self, like: nn.Module) -> nn.Module:
        """A copy of the model that keeps what the protocol's fusion keeps."""
        fused = copy.deepcopy(like)
        kept = self.protocol.fuse(self.now.protocol["mask"])
        self.form.write(fused, self.now.flat * kept, self.now.moments)
        return fused.eval()

    def _rooted(self, number: int) -> torch.Tensor:
        """The update of the server's own trusted data."""
        assert self.root is not None
        begun = Begun(self.now.flat, self.now.moments, number, self.federation.rounds)
        plain = LocalRound(
            self.local.work, self.form, self.domain, self.federation.training, PlainDescent(),
            self.run.runtime,
        )  # fmt: skip
        return plain(begun, self.root, {}, stream(self.seed, "round", number, "root")).update

    def _answers(self, number: int) -> Answers:
        """Ask a moved model about noise, which is the same for all clients of a round.

        Raises:
            MethodError: where noise cannot be made of such inputs.
        """
        prepared = self.domain.prepare(self.clients[0].inputs[:1])
        try:
            surface = self.domain.surface(prepared)
        except CannotJudge as error:
            name = self.federation.aggregator.name()
            why = str(error).partition(";")[0]
            raise MethodError(
                f"{name} asks about noise, and {why}; choose another aggregator"
            ) from None
        place = torch_generator(stream(self.seed, "round", number, "noise"))
        noise = torch.rand(NOISE, *surface.pattern, generator=place)
        noise = surface.low + (surface.high - surface.low) * noise

        def answers(update: torch.Tensor) -> torch.Tensor:
            work = self.local.work.eval()
            self.form.write(work, self.now.flat + update, self.now.moments)
            with self.run.runtime.active(), torch.inference_mode():
                logits: torch.Tensor = work(noise.to(self.run.runtime.device))
            return logits.float().softmax(1).cpu()

        return answers

    def _passes(self, first: int) -> int:
        """Examples passed by all clients in the rounds that were run now."""
        asked = (line.client for each in self.lines[first:] for line in each.clients)
        return self.federation.training.epochs * sum(len(self.clients[c]) for c in asked)

    def _about(self) -> tuple[object, ...]:
        """All that the bits of this federation depend on."""
        return (
            self.seed, self.federation, sorted(self.attackers.items()), self.clients, self.root,
            self.now.flat, self.now.moments,
        )  # fmt: skip
