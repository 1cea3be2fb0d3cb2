"""A backdoor put into the weights of a network that was trained on clean data."""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.data import Data, Split
from mithridate.bench.steps.learn import pack_state
from mithridate.bench.steps.train import Train
from mithridate.core.method import Trained, Trainer, WeightsAttack
from mithridate.core.streams import stream


@dataclass(frozen=True, eq=False)
class Implant(Step):
    """Change the weights of a clean network; whoever asks for the training is given it instead."""

    clean: Train
    attack: WeightsAttack
    seed: int

    heavy = True

    @property
    def poison(self) -> Step:
        """The step that gives the suspects, of which the attacker changed none."""
        return self.clean.poison

    @property
    def data(self) -> Data:
        """What the clean network was trained on."""
        return self.clean.data

    @property
    def network(self) -> str:
        """The name of the network."""
        return self.clean.network

    @property
    def trainer(self) -> Trainer:
        """How the clean network was trained."""
        return self.clean.trainer

    def run(self, given: Given) -> Output:
        """Keep the changed weights, the losses of the clean training, and what springs the trap."""
        split: Split = given(self.data)
        trained: Trained = given(self.clean)
        rng = stream(self.seed, "implant")
        made = self.attack.implant(
            given.watched(trained.model), split.suspects, split.domain, rng, given.runtime
        )
        weights = {f"model.{k}": v for k, v in made.model.state_dict().items()}
        return Output({**weights, "losses": trained.losses, **pack_state(made.state)})

    def value(self, output: Output, given: Given) -> Trained:
        """Build the network again and give it its weights."""
        return self.clean.value(output, given)
