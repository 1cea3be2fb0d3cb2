"""A backdoor put into the weights of a network that was trained on clean data."""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.bench.step import Given, Output
from mithridate.bench.steps.examples import Split
from mithridate.bench.steps.learn import pack_state
from mithridate.bench.steps.network import Network
from mithridate.bench.steps.train import Train
from mithridate.core.method import Trained, WeightsAttack
from mithridate.core.streams import stream


@dataclass(frozen=True, eq=False)
class Implant(Network):
    """Change the weights of a clean network; whoever asks for the training is given it instead."""

    clean: Train
    attack: WeightsAttack

    heavy = True

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


def build_implant(clean: Train, attack: WeightsAttack, seed: int) -> Implant:
    """Give the step that changes a clean network, and that is seen as if it had trained it."""
    return Implant(clean.poison, clean.data, clean.network, clean.trainer, seed, clean, attack)
