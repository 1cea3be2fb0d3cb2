"""Adaptive attacks that are sentences: weak triggers and cover samples, the full trigger later.

Axes: n examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import Chosen, RandomSelection, Selection, count
from mithridate.core.method import Trigger
from mithridate.core.registry import get


@dataclass(frozen=True)
class CoveredSelection(Selection):
    """Poison random examples and cover them by so many others for each.

    Chooses as `RandomSelection` does, with round(cover_ratio * poisoned) cover samples, so that a
    sweep over `amount` alone keeps the attack in proportion.

    Attributes:
        poison_rate: share of the whole data set if below 1, else the number of examples.
        cover_ratio: cover samples, with the trigger and their own label, for each poisoned one.

    Raises:
        MethodError: where fewer examples are eligible, or a number is negative.
    """

    paper = (
        "Qi et al., Revisiting the Assumption of Latent Separability for Backdoor Defenses, 2023"
    )

    poison_rate: float = 0.003
    cover_ratio: float = 1.0

    def choose(
        self, labels: torch.Tensor, target_labels: torch.Tensor, rng: np.random.Generator
    ) -> Chosen:
        """Choose poison, and in proportion to it the cover among all others."""
        eligible = int((target_labels != labels).sum())
        poisoned = count(self.poison_rate, len(labels), eligible, "poisoned examples")
        # a whole number: RandomSelection would read a ratio below 1 as a share of all examples
        cover = float(round(self.cover_ratio * poisoned))
        return RandomSelection(self.poison_rate, cover).choose(labels, target_labels, rng)


def adaptive(
    weak: Trigger,
    full: Trigger,
    poison_rate: float = 0.003,
    cover_ratio: float = 1.0,
    target: int = 0,
) -> Poisoning:
    """Train with a weak trigger and cover samples, so that poison does not stand apart.

    A sweep changes the amount by `replace(attack, selection=replace(attack.selection,
    amount=...))`. Qi et al., Revisiting the Assumption of Latent Separability for Backdoor
    Defenses, ICLR 2023.

    Args:
        weak: stamped on training examples.
        full: stamped at test time.
        poison_rate: see `CoveredSelection`.
        cover_ratio: see `CoveredSelection`.
    """
    return Poisoning(weak, AllToOne(target), CoveredSelection(poison_rate, cover_ratio), full)


def adaptive_blend(
    poison_rate: float = 0.003, cover_ratio: float = 1.0, target: int = 0
) -> Poisoning:
    """Adaptive-Blend: half of the pieces of a faint pattern, later the whole and a little stronger.

    The pattern is cut in 4 x 4 pieces of which each example gets its own eight, at a share of
    0.15; at test time all of it at 0.2. Numbers are the paper's for CIFAR-10; the authors blend a
    picture, here the pattern is random.
    """
    weak = trigger_named("blend-trigger", alpha=0.15, keep=0.5, pieces=4)
    return adaptive(
        weak, trigger_named("blend-trigger", alpha=0.2), poison_rate, cover_ratio, target
    )


def adaptive_patch(
    poison_rate: float = 0.003, cover_ratio: float = 2.0, target: int = 0
) -> Poisoning:
    """Adaptive-Patch: one of four squares, half transparent, later two of them and opaque.

    Numbers are the paper's for CIFAR-10; the authors stamp pictures, here the squares are random.
    """
    weak = trigger_named("uneven-patches-trigger", opacities=(0.5, 0.2, 0.5, 0.3), keep=1)
    full = trigger_named("uneven-patches-trigger", opacities=(1.0, 0.0, 1.0, 0.0), keep=2)
    return adaptive(weak, full, poison_rate, cover_ratio, target)


def trigger_named(name: str, **fields: Any) -> Any:
    """Build a trigger by name: an attack knows the triggers and not the domains they are from."""
    kind: Any = Trigger  # mypy takes a class that leaves a method to others for abstract
    return get(kind, name, **fields)
