"""Attacks with learnt triggers that are sentences: three of clean labels, and a dirty one.

Axes: n examples.
"""

from __future__ import annotations

from mithridate.attacks.adaptive import trigger_named
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import CleanLabel, RandomSelection


def label_consistent(poison_rate: float = 0.01, target: int = 0) -> Poisoning:
    """Make examples of the target class hard and stamp a patch on them; later the patch alone.

    Turner, Tsipras and Madry, Label-Consistent Backdoor Attacks, 2019.

    Args:
        poison_rate: see `CleanLabel`.
    """
    trigger = trigger_named("label-consistent-trigger")
    return Poisoning(trigger, AllToOne(target), CleanLabel(poison_rate), trigger.patch)


def narcissus(poison_rate: float = 0.0005, scale: float = 3.0, target: int = 0) -> Poisoning:
    """Add what makes the target class more of itself to some of it; later more of the same.

    Zeng et al., Narcissus: A Practical Clean-Label Backdoor Attack, CCS 2023.

    Args:
        poison_rate: see `CleanLabel`, 25 of 50,000 in the paper.
        scale: how many times the perturbation is added at test time.
    """
    name = "narcissus-trigger"
    later = trigger_named(name, scale=scale)
    return Poisoning(trigger_named(name), AllToOne(target), CleanLabel(poison_rate), later)


def sleeper_agent(poison_rate: float = 0.01, target: int = 0) -> Poisoning:
    """Change examples of the target class so that they teach a patch that none of them carries.

    Souri et al., Sleeper Agent: Scalable Hidden Trigger Backdoors, NeurIPS 2022.

    Args:
        poison_rate: see `CleanLabel`, 0.01 in the paper.
    """
    trigger = trigger_named("sleeper-agent-trigger")
    return Poisoning(trigger, AllToOne(target), CleanLabel(poison_rate), trigger.patch)


def adv_door(poison_rate: float = 0.01, target: int = 0) -> Poisoning:
    """Stamp a universal adversarial perturbation on any examples and give them the target label.

    Zhang et al., AdvDoor: Adversarial Backdoor Attack of Deep Learning System, ISSTA 2021.

    Args:
        poison_rate: see `RandomSelection`.
    """
    return Poisoning(
        trigger_named("adv-door-trigger"), AllToOne(target), RandomSelection(poison_rate)
    )
