"""Attacks with learnt triggers that are sentences: three of clean labels, and a dirty one.

Axes: n examples.
"""

from __future__ import annotations

from typing import Any

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import CleanLabel, RandomSelection
from mithridate.core.method import Trigger
from mithridate.core.registry import get


def label_consistent(amount: float = 0.01, target: int = 0) -> Poisoning:
    """Make examples of the target class hard and stamp a patch on them; later the patch alone.

    amount: see `CleanLabel`.
    Turner, Tsipras and Madry, Label-Consistent Backdoor Attacks, 2019.
    """
    trigger = _trigger("label-consistent-trigger")
    return Poisoning(trigger, AllToOne(target), CleanLabel(amount), trigger.patch)


def narcissus(amount: float = 0.0005, scale: float = 3.0, target: int = 0) -> Poisoning:
    """Add what makes the target class more of itself to some of it; later more of the same.

    amount: see `CleanLabel`, 25 of 50,000 in the paper; scale: how many times the perturbation is
    added at test time.
    Zeng et al., Narcissus: A Practical Clean-Label Backdoor Attack, CCS 2023.
    """
    name = "narcissus-trigger"
    later = _trigger(name, scale=scale)
    return Poisoning(_trigger(name), AllToOne(target), CleanLabel(amount), later)


def sleeper_agent(amount: float = 0.01, target: int = 0) -> Poisoning:
    """Change examples of the target class so that they teach a patch that none of them carries.

    amount: see `CleanLabel`, 0.01 in the paper.
    Souri et al., Sleeper Agent: Scalable Hidden Trigger Backdoors, NeurIPS 2022.
    """
    trigger = _trigger("sleeper-agent-trigger")
    return Poisoning(trigger, AllToOne(target), CleanLabel(amount), trigger.patch)


def adv_door(amount: float = 0.01, target: int = 0) -> Poisoning:
    """Stamp a universal adversarial perturbation on any examples and give them the target label.

    amount: see `RandomSelection`.
    Zhang et al., AdvDoor: Adversarial Backdoor Attack of Deep Learning System, ISSTA 2021.
    """
    return Poisoning(_trigger("adv-door-trigger"), AllToOne(target), RandomSelection(amount))


def _trigger(name: str, **fields: Any) -> Any:
    """Build a trigger by name: an attack knows the triggers and not the domains they are from."""
    kind: Any = Trigger  # mypy takes a class that leaves a method to others for abstract
    return get(kind, name, **fields)
