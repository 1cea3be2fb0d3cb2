"""Training the network that everything after it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn

from mithridate.bench.admission import admit
from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.data import Data, Split, join_trusted
from mithridate.bench.steps.poison import Poison, truth_about
from mithridate.core.data import Dataset, Poisoned, Truth
from mithridate.core.method import Trained, Trainer, TrainingAttack
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun


@dataclass(frozen=True, eq=False)
class Train(Step):
    """Train a network on the suspects and all trusted examples.

    Attributes:
        poison: the step that gives the suspects.
        attacker: trains in the victim's place, where the attack says how, else None.
        gate: of a robust trainer, lets pass what is about an attack that took.
    """

    poison: Step
    data: Data
    network: str
    trainer: Trainer
    seed: int
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
            truth = _extend_truth(truth_about(cast(Poison, self.poison), given), len(union), union)
            own = stream(self.seed, "attacker")
            objective = self.attacker.objective(Poisoned(union, truth), model, own)
        run = TrainingRun(given.runtime, objective=objective)
        trained = self.trainer.train(model, union, split.domain, rng, run)
        return pack_trained(trained)

    def value(self, output: Output, given: Given) -> Trained:
        """Build the network again and give it its weights."""
        split: Split = given(self.data)
        return unpack_trained(output, given(self.poison), split, self.network, self.trainer)


def build_network(data: Dataset, split: Split, network: str, seed: int) -> nn.Module:
    """Build the network of a seed: all trainings of one seed begin with the same weights."""
    return split.domain.network(data, network, stream(seed, "init"))


def pack_trained(trained: Trained) -> Output:
    """Keep a trained model and the mean loss of every epoch."""
    tensors = {f"model.{k}": v for k, v in trained.model.state_dict().items()}
    curve = [round(float(x), 6) for x in trained.losses.mean(0)]
    return Output({**tensors, "losses": trained.losses}, {"loss": curve})


def unpack_trained(
    output: Output, data: Dataset, split: Split, network: str, trainer: Trainer
) -> Trained:
    """Build a network like the one that was kept, and give it its weights."""
    few = data.subset(range(min(len(data), 64)))  # the weights hold what was learnt of the rest
    model = trainer.form(build_network(few, split, network, 0))
    weights = {k[6:]: v for k, v in output.tensors.items() if k.startswith("model.")}
    model.load_state_dict(weights)
    return Trained(model.eval(), output.tensors.get("losses", torch.zeros(0, 0)), {})


def _extend_truth(truth: Truth, n: int, union: Dataset) -> Truth:
    """The truth about suspects and trusted examples: nothing was done to the latter."""
    more = torch.zeros(n - len(truth.poisoned), dtype=torch.bool)
    labels = torch.cat([truth.labels, union.labels[len(truth.labels) :]])
    return Truth(torch.cat([truth.poisoned, more]), torch.cat([truth.cover, more]), labels)
