"""Defences that the referee must see through, in a file that reaches for no secret."""

import copy
from dataclasses import dataclass
from typing import ClassVar

import torch

from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import last_linear
from mithridate.core.method import Detector, Repair
from mithridate.core.streams import seed_torch


@dataclass(frozen=True)
class Destroying(Repair):
    """Give a network that calls everything by one name, which is not the target."""

    answer: int = 7

    def repair(self, view, rng):
        model = copy.deepcopy(view.model)
        with torch.no_grad():
            for values in model.parameters():
                values.zero_()
            last_linear(model).bias[self.answer] = 1.0
        return model


@dataclass(frozen=True)
class Careless(Repair):
    """Destroy the network that was lent, and give it back."""

    def repair(self, view, rng):
        with torch.no_grad():
            for values in view.model.parameters():
                values.zero_()
        return view.model


@dataclass(frozen=True)
class Scribbling(Detector):
    """Overwrite a piece of evidence."""

    what: str = "features"

    def fit(self, view):
        found = getattr(view, self.what)
        for tensor in [found] if isinstance(found, torch.Tensor) else [found.inputs, found.labels]:
            tensor.zero_()
        return {}

    def score(self, state, view):
        return torch.zeros(len(view.labels))


@dataclass(frozen=True)
class Dial(Detector):
    """Find the corner that an attacker and a prober stamp, or nothing, or the opposite.

    turn: "nothing" is constant, "corners" finds bright corners, "opposite" the dark ones.
    """

    space: ClassVar = {
        "turn": ("nothing", "corners", "opposite"),
        "size": (1, 2, 3, 4),
    }

    turn: str = "nothing"
    size: int = 2

    def fit(self, view):
        return {}

    def score(self, state, view):
        inputs, s = view.inputs.double(), self.size
        corners = (inputs[..., :s, :s], inputs[..., -s:, -s:])
        brightest = torch.stack([corner.mean((1, 2, 3)) for corner in corners]).max(0).values
        return brightest * {"nothing": 0.0, "corners": 1.0, "opposite": -1.0}[self.turn]


@dataclass(frozen=True)
class Forgetting(Repair):
    """Train the trusted examples into new weights, or leave all as it is."""

    space: ClassVar = {"forget": (False, True)}

    forget: bool = False

    def repair(self, view, rng):
        model = copy.deepcopy(view.model)
        if self.forget:
            with seed_torch(rng):
                for layer in model.modules():
                    if hasattr(layer, "reset_parameters"):
                        layer.reset_parameters()
            fit(model, view.clean, view.domain, TrainingConfig(epochs=8, batch_size=64), rng)
        return model
