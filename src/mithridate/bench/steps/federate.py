"""A federation in the place of one training: its clients' poison, its model, and whom it doubted.

Axes: n suspects, all of which lie with some client; m clients.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch

from mithridate.bench.admission import admit
from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Split
from mithridate.bench.steps.learn import state_of
from mithridate.bench.steps.network import Network, build_network, pack_trained
from mithridate.bench.steps.poison import Poison, pack_poisoned
from mithridate.core.clients import ClientAttack
from mithridate.core.data import Dataset, Poisoned, Truth, concatenate
from mithridate.core.method import Trained
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.pipelines.federated import Federation
from mithridate.pipelines.federation_lines import RoundLine, doubts
from mithridate.pipelines.splits import Division, Iid, Shares
from mithridate.stats.ranking import auroc_interval

Liars: TypeAlias = tuple[tuple[int, ClientAttack], ...]
"""Who attacks among the clients, and how."""


@dataclass(frozen=True, eq=False)
class PoisonClients(Poison):
    """Poison what attackers among the clients have; without any, the clean twin.

    Attributes:
        division: how the suspects lie with the clients.
        liars: who attacks, and how.
    """

    division: Division = field(default_factory=Iid)
    liars: Liars = ()

    def run(self, given: Given) -> Output:
        """Keep the rows that changed, and the truth."""
        split: Split = given(self.data)
        if not self.liars:
            return Output(facts={"poisoned": 0, "changed": 0})
        clean = split.suspects
        shares = divided(clean, self.division, self.seed)
        n, state = len(clean), state_of(self.learnt, given)
        marks = {name: torch.zeros(n, dtype=torch.bool) for name in ("poisoned", "cover")}
        whole, rows = None, []
        for place, (client, attack) in enumerate(self.liars):
            own = stream(self.seed, "poison", client)
            made = attack.poison(clean.subset(shares[client]), place, own, state)
            marks["poisoned"][shares[client]] = made.truth.poisoned
            marks["cover"][shares[client]] = made.truth.cover
            rows.append(shares[client])
            whole = made.data if whole is None else concatenate(whole, made.data)
        assert whole is not None
        data = _put(clean, torch.cat(rows), whole)
        truth = Truth(marks["poisoned"], marks["cover"], clean.labels)
        return pack_poisoned(clean, Poisoned(data, truth), split.domain)


def divided(clean: Dataset, division: Division, seed: int) -> Shares:
    """Give the rows of each client, by the labels before the attack."""
    return division.divide(clean.labels, stream(seed, "division"))


def _put(data: Dataset, rows: torch.Tensor, new: Dataset) -> Dataset:
    """Put other examples at some rows, in order."""
    source = torch.arange(len(data))
    source[rows] = len(data) + torch.arange(len(rows))
    both = concatenate(data, new).subset(source)
    return Dataset(both.inputs, both.labels, data.ids, data.classes)


@dataclass(frozen=True, eq=False)
class Federate(Network):
    """Train by a federation of clients, among whom the suspects are divided.

    It stands where `Train` does. The trusted examples are the server's.

    Attributes:
        federation: how it is run.
        division: how the suspects lie with the clients.
        liars: who attacks, and how.
        gate: of an aggregator, lets pass what is about an attack that took under the plain mean.
    """

    federation: Federation = field(default_factory=Federation)
    division: Division = field(default_factory=Iid)
    liars: Liars = ()
    gate: Step | None = None

    heavy = True

    def run(self, given: Given) -> Output:
        """Run it; keep the weights, and what the server saw."""
        admit(self.federation.aggregator)
        admit(self.federation.protocol)
        split: Split = given(self.data)
        suspects: Dataset = given(self.poison)
        shares = divided(split.suspects, self.division, self.seed)
        model = given.watched(build_network(suspects, split, self.network, self.seed))
        made = self.federation.run(
            model, [suspects.subset(rows) for rows in shares], split.domain,
            stream(self.seed, "federate"), TrainingRun(given.runtime),
            attackers=dict(self.liars), root=split.trusted if len(split.trusted) else None,
        )  # fmt: skip
        packed = pack_trained(Trained(made.model, torch.zeros(0, 0), made.cost))
        lines = [line.plain() | {"seconds": 0.0} for line in made.lines]
        return Output(packed.tensors, {"rounds": lines, "evidence": ["updates"]})


@dataclass(frozen=True, eq=False)
class Doubted(Step):
    """How well the server's doubts tell the attackers from honest clients.

    Attributes:
        federate: the federation.
        gate: lets pass what is about an attack that took.
    """

    federate: Federate
    gate: Step | None = None

    shows = ()

    def run(self, given: Given) -> Output:
        """Keep the doubt of each client, and how attackers rank by it."""
        lines = [RoundLine.read(raw) for raw in given.output(self.federate).facts["rounds"]]
        doubted = doubts(lines)
        attackers = {client for client, _ in self.federate.liars}
        refused = {c.client for line in lines for c in line.clients if c.refused}
        metrics: dict[str, Any] = {}
        if doubted and attackers & set(doubted) and set(doubted) - attackers:
            scores = torch.tensor(list(doubted.values()), dtype=torch.float64)
            positive = torch.tensor([client in attackers for client in doubted])
            metrics["naming_auroc"] = list(auroc_interval(scores, positive))
        facts = {
            "metrics": metrics, "evidence": ["updates"], "refused": sorted(refused),
            "doubts": {str(client): doubt for client, doubt in doubted.items()},
        }  # fmt: skip
        return Output({}, facts)
