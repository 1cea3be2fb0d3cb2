"""Training the network that everything after it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch

from mithridate.bench.admission import admit
from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Split, join_trusted
from mithridate.bench.steps.network import Network, build_network, pack_trained
from mithridate.bench.steps.suspects import Suspects, truth_about
from mithridate.core.data import Dataset, Poisoned, Truth
from mithridate.core.method import TrainingAttack
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun


@dataclass(frozen=True, eq=False)
class Train(Network):
    """Train a network on the suspects and all trusted examples.

    Attributes:
        attacker: trains in the victim's place, where the attack says how, else None.
        gate: of a robust trainer, lets pass what is about an attack that took.
    """

    attacker: TrainingAttack | None = None
    gate: Step | None = None

    heavy = True

    def run(self, given: Given) -> Output:
        """Train, and keep the weights and the losses of every example."""
        admit(self.trainer)
        split: Split = given(self.data)
        union = join_trusted(given(self.poison), split)
        rng, objective = stream(self.seed, "fit"), None
        model = given.watched(
            self.trainer.form(build_network(union, split, self.network, self.seed))
        )
        if self.attacker is not None:
            truth = _extend_truth(
                truth_about(cast(Suspects, self.poison), given), len(union), union
            )
            own = stream(self.seed, "attacker")
            objective = self.attacker.objective(Poisoned(union, truth), model, own)
        run = TrainingRun(given.runtime, objective=objective)
        return pack_trained(self.trainer.train(model, union, split.domain, rng, run))


def _extend_truth(truth: Truth, n: int, union: Dataset) -> Truth:
    """The truth about suspects and trusted examples: nothing was done to the latter."""
    more = torch.zeros(n - len(truth.poisoned), dtype=torch.bool)
    labels = torch.cat([truth.labels, union.labels[len(truth.labels) :]])
    return Truth(torch.cat([truth.poisoned, more]), torch.cat([truth.cover, more]), labels)
