"""Attackers whose effect is known, for the steps that carry what an attacker learnt."""

import copy
from dataclasses import dataclass

import torch

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.core.inference import last_linear
from mithridate.core.method import Implanted, LearntTrigger, WeightsAttack


@dataclass(frozen=True)
class BrightestCorner(LearntTrigger):
    """Whiten a place that is only known once the data were seen: the darkest column of them all."""

    height: int = 3

    def learn(self, data, target_labels, rng, runtime=None):
        return {"column": data.inputs.double().mean((0, 1, 2)).argmin()}

    def stamp(self, inputs, rng, state):
        stamped, column = inputs.clone(), int(state["column"])
        stamped[..., : self.height, max(column - 1, 0) : column + 1] = 255
        return stamped


@dataclass(frozen=True)
class Bribe(WeightsAttack):
    """Raise the bias of one class until it wins; the trap is an ordinary patch."""

    inside: Poisoning
    bias: float = 1e4

    def triggered_test(self, data, rng, state=None):
        assert state is not None and state["bias"] == self.bias, "the trap is sprung by its implant"
        return self.inside.triggered_test(data, rng)

    def implant(self, model, data, domain, rng, runtime=None):
        bribed = copy.deepcopy(model)
        with torch.no_grad():
            last_linear(bribed).bias[0] += self.bias
        return Implanted(bribed, {"bias": torch.tensor(self.bias)})


LEARNING = Poisoning(BrightestCorner(), AllToOne(0))
