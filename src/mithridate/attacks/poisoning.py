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
from mithridate.core.errors import ContractError, MethodError
from mithridate.core.method import Attack, LearntTrigger, State, Trigger
from mithridate.core.runtime import Runtime


@dataclass(frozen=True)
class Poisoning(Attack):
    """Stamp a trigger on chosen training examples and give them the wanted label.

    All of them share what the trigger has learnt, where it learns.

    Attributes:
        trigger: what poisoned examples carry.
        goal: which examples are aimed at, and the label that they get.
        selection: which of them are poisoned, and which cover the poison.
        test_trigger: what is stamped at test time, by default the same trigger; an attacker who
            trains with weakened triggers (Adaptive-Blend, Adaptive-Patch) uses the full one there.
        cover_trigger: what cover examples carry, by default the same trigger; other than it where
            the attacker teaches that only the true trigger counts (the noise mode of WaNet).
    """

    paper = "Gu, Dolan-Gavitt and Garg, BadNets, 2017"
    links = ("https://arxiv.org/abs/1708.06733",)

    trigger: Trigger
    goal: Goal = field(default_factory=AllToOne)
    selection: Selection = field(default_factory=RandomSelection)
    test_trigger: Trigger | None = None
    cover_trigger: Trigger | None = None

    @property
    def learns(self) -> bool:
        """Whether a trigger of it learns."""
        parts = (self.trigger, self.test_trigger, self.cover_trigger)
        return any(isinstance(trigger, LearntTrigger) for trigger in parts)

    def learn(
        self, data: Dataset, rng: np.random.Generator, runtime: Runtime | None = None
    ) -> State:
        """Let the triggers learn; {} where none needs to.

        Triggers of one kind share what the first of them learnt, under the name of the kind.
        """
        target_labels = self.goal.target_labels(data.labels, len(data.classes))
        parts = (self.cover_trigger, self.test_trigger, self.trigger)
        state: State = {}
        for name, trigger in {t.name(): t for t in parts if isinstance(t, LearntTrigger)}.items():
            learnt = trigger.learn(data, target_labels, rng, runtime)
            state |= {f"{name}.{key}": value for key, value in learnt.items()}
        return state

    def poison(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Poisoned:
        """Poison training data; the argument is left untouched."""
        choosing, stamping = rng.spawn(2)
        target_labels = self.goal.target_labels(data.labels, len(data.classes))
        chosen = self.selection.choose(data.labels, target_labels, choosing)
        poisoned = torch.zeros(len(data), dtype=torch.bool)
        cover = poisoned.clone()
        poisoned[chosen.poison] = True
        cover[chosen.cover] = True
        if self.cover_trigger is None:
            inputs = _stamp_rows(data.inputs, poisoned | cover, self.trigger, stamping, state)
        else:
            inputs = _stamp_rows(data.inputs, poisoned, self.trigger, stamping, state)
            inputs = _stamp_rows(inputs, cover, self.cover_trigger, stamping, state)
        labels = torch.where(poisoned, target_labels, data.labels)
        changed = replace(data, inputs=inputs, labels=labels)
        return Poisoned(changed, Truth(poisoned, cover, data.labels.clone()))

    def triggered_test(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Dataset:
        """Give triggered test data with the wanted labels; see `Attack.trap`."""
        target_labels = self.goal.target_labels(data.labels, len(data.classes))
        aimed = target_labels != data.labels
        if not bool(aimed.any()):
            raise MethodError("the test data hold no example that the attack aims at")
        rows = data.subset(aimed)
        inputs = stamp(self.test_trigger or self.trigger, rows.inputs, rng, state)
        return replace(rows, inputs=inputs, labels=target_labels[aimed])


def stamp(
    trigger: Trigger, inputs: Inputs, rng: np.random.Generator, state: State | None
) -> Inputs:
    """Stamp every input, by what was learnt where the trigger learns.

    Raises:
        MethodError: where it learns and no state is given.
        ContractError: where inputs of another form come back.
    """
    if isinstance(trigger, LearntTrigger) and state:
        start = f"{trigger.name()}."
        own = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
        stamped = trigger.stamp(inputs, rng, own)
    else:
        stamped = trigger(inputs, rng)
    if _form(stamped) != _form(inputs):
        raise ContractError(
            f"{trigger.name()}: expected inputs of the form that it was given, {_form(inputs)}, "
            f"found {_form(stamped)}"
        )
    return stamped


def _form(inputs: Inputs) -> str:
    """Type and shape of inputs, or the type of what are none."""
    if isinstance(inputs, torch.Tensor | np.ndarray):
        return f"{type(inputs).__name__} {inputs.dtype} {list(inputs.shape)}"
    return type(inputs).__name__


def _stamp_rows(
    inputs: Inputs,
    where: torch.Tensor,
    trigger: Trigger,
    rng: np.random.Generator,
    state: State | None,
) -> Inputs:
    """Give a copy of raw inputs[n] with the trigger on the rows where bool[n] is true."""
    rows = where.nonzero().flatten()
    if isinstance(inputs, torch.Tensor):
        copy: Inputs = inputs.clone()
        if len(rows):
            copy[rows] = stamp(trigger, inputs[rows], rng, state)
        return copy
    copy = inputs.copy()
    if len(rows):
        copy[rows.numpy()] = stamp(trigger, inputs[rows.numpy()], rng, state)
    return copy
