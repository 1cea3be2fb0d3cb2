"""The work of a federation, in its order: poison, estimate, run, measure.

Axes: t test examples.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from mithridate.core.clients import ClientAttack
from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.fit import fit
from mithridate.core.inference import correct
from mithridate.core.method import State
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.timing import extrapolate
from mithridate.core.training_run import Progress, TrainingRun
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.federated import Federated, Federation
from mithridate.pipelines.poisoned_clients import poison_clients
from mithridate.stats.intervals import Interval, proportion

UNFINISHED = "unfinished-federation"
"""The folder in which a federation is kept while it runs."""


@dataclass(frozen=True, eq=False)
class FederationOutcome:
    """What came out of a federation, and how good it is.

    Attributes:
        made: The model, and what the server saw.
        accuracy: On test data, by the form of the model: "deployed", and "unfused" where the
            protocol fuses.
        success: Of the attack on triggered test data, by form; {} where nothing triggers.
    """

    made: Federated
    accuracy: dict[str, Interval]
    success: dict[str, Interval]


@dataclass(frozen=True, eq=False)
class ReadyFederation:
    """A federation that is ready to begin.

    Attributes:
        federation: How it is run.
        clients: What each client has, before anybody attacks.
        test: Labelled examples that measure the model.
        domain: That all examples are of.
        network: The name of the network, "" is the default of the domain.
        attackers: Who attacks among the clients, and how.
        root: Trusted examples of the server, None where it has none.
        seed: Of everything that is drawn at random.
        runtime: Where to compute.
        home: The folder in which an unfinished federation is kept, None for nowhere.
    """

    federation: Federation
    clients: tuple[Dataset, ...]
    test: Dataset
    domain: Domain
    network: str = ""
    attackers: Mapping[int, ClientAttack] = field(default_factory=dict)
    root: Dataset | None = None
    seed: int = 0
    runtime: Runtime = field(default_factory=Runtime)
    home: Path | None = None

    @property
    def checkpoint(self) -> Path | None:
        """Where the federation is kept while it runs."""
        return None if self.home is None else self.home / UNFINISHED

    def check(self) -> None:
        """Refuse what cannot be run; raises MethodError."""
        self.federation.check(self.clients, self.attackers, self.root)

    def seconds(self) -> float:
        """Estimate how long all rounds take, by a few batches of a client."""
        rounds, training = self.federation.rounds, self.federation.training
        share = self.federation.participation * rounds * training.epochs
        data = max(self.clients, key=len)

        def on_few(count: int) -> None:
            short = replace(training, epochs=1)
            few = data.subset([row % len(data) for row in range(count)])
            run = TrainingRun(self.runtime)
            fit(copy.deepcopy(self.fresh), few, self.domain, short, stream(0, "estimate"), run)

        return share * extrapolate(on_few, 2 * training.batch_size, sum(map(len, self.clients)))

    @cached_property
    def fresh(self) -> nn.Module:
        """The network that the server begins with."""
        union = self.clients[0]
        for data in self.clients[1:]:
            union = concatenate(union, data)
        return self.domain.network(union, self.network, stream(self.seed, "init"))

    def made(self, announce: Announce, progress: Progress) -> FederationOutcome:
        """Run it.

        Args:
            announce: Is told what begins.
            progress: Is told the rounds done and the rounds in all.
        """
        clients, learnt = poison_clients(self.clients, self.attackers, stream(self.seed, "poison"))
        triggered = self._triggered(learnt)
        measured = {"accuracy": self.test, "success": triggered}

        def look(model: nn.Module, _: int) -> dict[str, float]:
            seen = {k: self._right(model, data) for k, data in measured.items() if data}
            return {name: float(right.float().mean()) for name, right in seen.items()}

        federation = self.federation
        announce(
            f"{federation.rounds} rounds of {len(clients)} clients, "
            f"aggregated by {federation.aggregator.name()}"
        )
        made = federation.run(
            copy.deepcopy(self.fresh), clients, self.domain, stream(self.seed, "rounds"),
            TrainingRun(self.runtime, progress, self.checkpoint), attackers=self.attackers,
            root=self.root, look=look,
        )  # fmt: skip
        forms = {"deployed": made.model} | ({"unfused": made.unfused} if made.unfused else {})
        accuracy = {name: self._share(model, self.test) for name, model in forms.items()}
        success = {n: self._share(model, triggered) for n, model in forms.items() if triggered}
        return FederationOutcome(made, accuracy, success)

    def _triggered(self, learnt: Mapping[ClientAttack, State]) -> Dataset | None:
        """The test data under the trigger of the attackers, None where they have none."""
        for attack in self.attackers.values():
            if attack.plants:
                rng = stream(self.seed, "trap")
                return attack.triggered_test(self.test, rng, learnt.get(attack))
        return None

    def _right(self, model: nn.Module, data: Dataset) -> torch.Tensor:
        """Which examples are called by their label, bool[t]."""
        return correct(model, data, self.domain, self.runtime)

    def _share(self, model: nn.Module, data: Dataset) -> Interval:
        """The share of examples that are called by their label."""
        return proportion(int(self._right(model, data).sum()), len(data))
