"""The attack that is a sentence: trigger x goal x selection.

Axes: n examples.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from mithridate.attacks.goals import AllToOne, Goal
from mithridate.attacks.selections import RandomSelection, Selection
from mithridate.core.data import Dataset, Inputs, Poisoned, Truth
from mithridate.core.errors import MethodError
from mithridate.core.method import Attack, Trigger


@dataclass(frozen=True)
class Poisoning(Attack):
    """Stamp a trigger on chosen training examples and give them the wanted label.

    test_trigger: what is stamped at test time, by default the same trigger; an attacker who trains
    with weakened triggers (Adaptive-Blend, Adaptive-Patch) uses the full one there.
    """

    paper = "Gu, Dolan-Gavitt and Garg, BadNets, 2017"

    trigger: Trigger
    goal: Goal = field(default_factory=AllToOne)
    selection: Selection = field(default_factory=RandomSelection)
    test_trigger: Trigger | None = None

    def poison(self, data: Dataset, rng: np.random.Generator) -> Poisoned:
        """Poison training data; the argument is left untouched."""
        choosing, stamping = rng.spawn(2)
        wanted = self.goal.wanted(data.labels, len(data.classes))
        chosen = self.selection.choose(data.labels, wanted, choosing)
        poisoned = torch.zeros(len(data), dtype=torch.bool)
        cover = poisoned.clone()
        poisoned[chosen.poison] = True
        cover[chosen.cover] = True
        inputs = _stamped(data.inputs, poisoned | cover, self.trigger, stamping)
        labels = torch.where(poisoned, wanted, data.labels)
        changed = replace(data, inputs=inputs, labels=labels)
        return Poisoned(changed, Truth(poisoned, cover, data.labels.clone()))

    def trap(self, data: Dataset, rng: np.random.Generator) -> Dataset:
        """Give triggered test data with the wanted labels; see `Attack.trap`."""
        wanted = self.goal.wanted(data.labels, len(data.classes))
        aimed = wanted != data.labels
        if not bool(aimed.any()):
            raise MethodError("the test data hold no example that the attack aims at")
        rows = data.subset(aimed)
        inputs = (self.test_trigger or self.trigger)(rows.inputs, rng)
        return replace(rows, inputs=inputs, labels=wanted[aimed])


def _stamped(
    inputs: Inputs, where: torch.Tensor, trigger: Trigger, rng: np.random.Generator
) -> Inputs:
    """Give a copy of raw inputs[n] with the trigger on the rows where bool[n] is true."""
    rows = where.nonzero().flatten()
    if isinstance(inputs, torch.Tensor):
        copy: Inputs = inputs.clone()
        if len(rows):
            copy[rows] = trigger(inputs[rows], rng)
        return copy
    copy = inputs.copy()
    if len(rows):
        copy[rows.numpy()] = trigger(inputs[rows.numpy()], rng)
    return copy
