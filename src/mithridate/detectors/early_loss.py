"""Early loss: examples that the network learns sooner than others.

Axes: n examples, e epochs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from mithridate.core.method import Detector, State
from mithridate.core.view import View


@dataclass(frozen=True)
class EarlyLoss(Detector):
    """Score each example by how small its loss is in the first epochs of training.

    s_i = -mean_{t < epochs} l_i(t), with l the recorded loss of the example as it was visited.
    Larger is more suspicious. This is the first stage of Anti-Backdoor Learning, for ordinary
    training and for each example: the paper ranks all examples by one loss, and flattens the loss
    curves meanwhile, which only a defender who trains for the purpose can do.

    The level of a class is not subtracted. Clean classes differ in level because some are easier,
    so subtracting raises a backdoor in a hard class and buries one in an easy class; and the
    poisoned examples are part of the level. p-values that compare examples of one class are free of
    it anyway. The paper reads the loss after a fifth of the training; five of the short trainings
    of this library have left the first chance behind and not yet begun to memorise.

    Attributes:
        epochs: how many to average; fewer were recorded, then all.
    """

    paper = "Li et al., Anti-Backdoor Learning, NeurIPS 2021"
    links = ("https://arxiv.org/abs/2110.11571",)
    assumes = (
        "the network learns the trigger faster than it learns ordinary examples of the same class"
    )
    space: ClassVar = {"epochs": (1, 2, 3, 5, 8)}

    epochs: int = 5

    def fit(self, view: View) -> State:
        """Nothing is learnt."""
        return {}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n]."""
        return -view.losses[:, : self.epochs].double().mean(1)
