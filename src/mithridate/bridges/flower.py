"""Flower: a federation's aggregator as a strategy, and its clients' training as a ClientApp.

Axes: m clients of a round, p numbers of the parameters.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError
from mithridate.core.extras import import_extra
from mithridate.core.federated import Aggregated, Round
from mithridate.core.flat import FlatForm
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.pipelines.federated import Federation
from mithridate.pipelines.federation_evidence import client_lines
from mithridate.pipelines.federation_lines import RoundLine
from mithridate.pipelines.intake import Intake, Noticed
from mithridate.pipelines.local_round import Begun, LocalRound

WAIT = 600.0
"""Seconds for which a server waits for its clients to connect."""


def as_strategy(
    federation: Federation, model: nn.Module, clients: int, granted: int, rng: np.random.Generator
) -> Any:
    """Make a strategy of Flower's current API of a federation's server.

    `strategy.start(grid, initial_arrays(model), num_rounds=federation.rounds)` runs it; what the
    server saw of its clients is in `strategy.lines`. Clients are numbered in the order of Flower's
    node ids. A reply that is no message of ours, or nonsense, is left out and named.

    Args:
        federation: aggregator, training, participation and rate of the server.
        model: of the form that is trained.
        clients: how many there are.
        granted: the most examples that a client is believed to have; Flower's own strategies
            believe any number.
        rng: decides every bit, as in `Federation.run`.

    Raises:
        MethodError: where the aggregator or the protocol needs what such clients do not send.
        MissingExtra: where Flower is not installed.
    """
    form = FlatForm.of(model)
    absent = sorted(federation.aggregator.needs & {"root", "masks", "answers"})
    own = federation.protocol.init(form, clients, stream(0, "protocol"))
    narrow = sorted({str(part.dtype) for part in form.parameters if part.dtype not in KNOWN})
    if absent or own or narrow:
        raise MethodError(
            f"over Flower clients send parameters and running moments in float16 to float64 only; "
            f"this federation also needs {', '.join([*absent, *own, *narrow])}"
        )
    base = _flower("flwr.serverapp.strategy").Strategy
    return type("AggregatorStrategy", (_Rounds, base), {})(
        federation, form, clients, granted, int(rng.integers(2**62))
    )


KNOWN = (torch.float16, torch.float32, torch.float64)
"""Types of parameters that Flower can send: it knows none that numpy has not."""


def initial_arrays(model: nn.Module) -> Any:
    """Give the record that a strategy starts from: what clients and server exchange of a model."""
    form, state = FlatForm.of(model), model.state_dict()
    return _record(form, form.flatten(state), form.moments_of(state))


def client_app(
    federation: Federation, model: nn.Module, domain: Domain, data: Callable[[Any, int], Dataset],
    runtime: Runtime | None = None,
) -> Any:  # fmt: skip
    """Make a ClientApp of Flower that trains as the clients of a federation do.

    Args:
        federation: whose training and protocol are followed.
        model: of the form that is trained.
        domain: that the data are of.
        data: gives a client's examples by the context of Flower and the client's number.
        runtime: where to compute.

    Raises:
        MissingExtra: where Flower is not installed.
    """
    flwr, app = _flower("flwr.app"), _flower("flwr.clientapp").ClientApp()
    form = FlatForm.of(model)

    @app.train()  # type: ignore[untyped-decorator, unused-ignore]
    def train(message: Any, context: Any) -> Any:
        asked = message.content["config"]
        number, client = int(asked["round"]), int(asked["client"])
        examples = data(context, client)
        work = copy.deepcopy(model)
        local = LocalRound(
            work, form, domain, federation.training, federation.protocol, runtime or Runtime()
        )
        sent = message.content["arrays"].to_torch_state_dict()
        begun = Begun(form.flatten(sent), form.moments_of(sent), number, federation.rounds)
        place = (int(asked["seed"]), "round", number, "client", client)
        made = local(begun, examples, {}, stream(*place))
        state = work.state_dict()
        reply = {
            "arrays": _record(form, form.flatten(state), form.moments_of(state)),
            "metrics": flwr.MetricRecord({"num-examples": len(examples), "loss": made.loss}),
        }
        return flwr.Message(content=flwr.RecordDict(reply), reply_to=message)

    return app


class _Rounds:
    """What a strategy of Flower does in each round; it is put together with Flower's own class."""

    def __init__(
        self, federation: Federation, form: FlatForm, clients: int, granted: int, seed: int
    ) -> None:
        self.federation, self.form, self.clients = federation, form, clients
        self.granted, self.seed = granted, seed
        self.state = federation.aggregator.init(form.size)
        self.lines: list[RoundLine] = []
        self.nodes: dict[int, int] = {}

    def configure_train(
        self, server_round: int, arrays: Any, config: Any, grid: Any
    ) -> Iterable[Any]:
        """Ask the clients of a round."""
        flwr, state = _flower("flwr.app"), arrays.to_torch_state_dict()
        self.flat, self.moments = self.form.flatten(state), self.form.moments_of(state)
        places = sorted(_connected(grid, self.clients))
        self.nodes = {node: client for client, node in enumerate(places)}
        self.asked = self.federation.asked(len(places), self.seed, server_round - 1)
        self.began = time.perf_counter()
        for client in self.asked:
            told = {"round": server_round - 1, "client": client, "seed": self.seed}
            record = {"arrays": arrays, "config": flwr.ConfigRecord({**config, **told})}
            yield flwr.Message(flwr.RecordDict(record), places[client], flwr.MessageType.TRAIN)

    def aggregate_train(self, server_round: int, replies: Iterable[Any]) -> tuple[Any, Any]:
        """Make one step of the replies; the model stays where too few can be used."""
        intake = Intake(self.form, dict.fromkeys(self.asked, self.granted))
        losses = dict.fromkeys(self.asked, float("nan"))
        for reply in replies:
            client = self.nodes.get(reply.metadata.src_node_id, -1)
            try:
                state, size, loss = _opened(reply)
            except DataError as error:
                intake.refused.append(Noticed(client, str(error)))
                continue
            if intake.take_state(client, state, size, self.flat):
                losses[client] = loss
        void, seen, made = self._moved(intake, server_round - 1)
        lines = client_lines(losses, intake.refused, seen, made, None, None)
        told = tuple(replace(x, loss=None if x.loss != x.loss else x.loss) for x in lines)
        spent = round(time.perf_counter() - self.began, 3)
        self.lines.append(RoundLine(server_round - 1, told, void, seconds=spent))
        return _record(self.form, self.flat, self.moments), None

    def _moved(self, intake: Intake, number: int) -> tuple[str, Round | None, Aggregated | None]:
        """Move the global model; gives why it stayed, if so, the round and what was made of it."""
        rule = self.federation.aggregator
        if intake.count < rule.least():
            why = f"{intake.count} clients were let in, and {rule.least()} are needed"
            return why, None, None
        place = stream(self.seed, "round", number)
        seen = intake.round(number, seed=int(place.integers(2**62)))
        made = rule.aggregate(self.state, seen)
        if self.federation.moments == "aggregated" and self.form.moments:
            self.moments = intake.mean_moments(made.trust)
        self.flat, self.state = self.flat + self.federation.server_rate * made.step, made.state
        return "", seen, made

    def configure_evaluate(
        self, server_round: int, arrays: Any, config: Any, grid: Any
    ) -> Iterable[Any]:
        """Ask nobody: the server measures, by `evaluate_fn` of `start`."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Any]) -> None:
        """Make nothing of no replies."""

    def summary(self) -> None:
        """Say nothing."""


def _connected(grid: Any, clients: int) -> list[int]:
    """The ids of the clients, once all are there."""
    for _ in range(int(WAIT)):
        nodes = [int(node) for node in grid.get_node_ids()]
        if len(nodes) >= clients:
            return nodes
        time.sleep(1.0)
    raise MethodError(f"expected {clients} clients within {WAIT:.0f} s, found {len(nodes)}")


def _opened(reply: Any) -> tuple[dict[str, torch.Tensor], Any, float]:
    """The tensors, the claimed size and the loss of a reply; raises DataError where it has none."""
    if reply.has_error():
        raise DataError(f"its training failed: {ascii(reply.error.reason)[:100]}")
    try:
        metrics = reply.content["metrics"]
        state = dict(reply.content["arrays"].to_torch_state_dict())
        return state, metrics["num-examples"], float(metrics.get("loss", float("nan")))
    except Exception as error:  # whatever a stranger's record makes of being read
        raise DataError(f"its reply cannot be read: {ascii(str(error))[:100]}") from None


def _record(form: FlatForm, flat: torch.Tensor, moments: torch.Tensor) -> Any:
    """A record of the tensors that are exchanged, in the types of the model."""
    return _flower("flwr.app").ArrayRecord(form.tensors(flat, moments))


def _flower(module: str) -> Any:
    """A module of Flower."""
    return import_extra(module, "this needs Flower: pip install 'mithridate[flower]'")
