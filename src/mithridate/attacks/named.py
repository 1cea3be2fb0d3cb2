"""The attacks of the literature by name, as values: `named_attack("wanet")`."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import CleanLabel, CoveredSelection, RandomSelection, Selection
from mithridate.core.errors import MethodError
from mithridate.core.method import Attack, Trigger
from mithridate.core.named import NamedAttack
from mithridate.core.registry import find_attack, resolve


def named_attack(
    name: str, poison_rate: float | None = None, *, cover_ratio: float | None = None,
    target: int = 0, **settings: Any,
) -> Attack:  # fmt: skip
    """Build an attack of the literature by any of its names, with the numbers of its paper.

    Args:
        name: Such as "wanet"; `registry.find_attacks` lists them.
        poison_rate: Share of the data set if below 1, else the number of examples.
        cover_ratio: Cover examples for each poisoned one.
        target: The target label.
        **settings: Of the trigger, where the attack poisons data, and of the attack itself, where
            it has the training or the weights in hand.

    Raises:
        UnknownMethod: There is no such attack; the nearest names are given.
        MethodError: A setting does not exist.
    """
    numbers = {"poison_rate": poison_rate, "cover_ratio": cover_ratio}
    given: dict[str, Any] = {k: number for k, number in numbers.items() if number is not None}
    known = dataclasses.replace(find_attack(name), **given)
    form = resolve(cast(Any, Attack), known.form)
    if form is Poisoning:
        return changed(poisoning(known, target), "trigger", **settings)
    return _formed(form, known, target, settings)


def poisoning(known: NamedAttack, target: int = 0) -> Poisoning:
    """Build what a named attack does to data; raises MethodError where it has no trigger."""
    if known.trigger is None:
        raise MethodError(f"{known.name} finds its own trigger and poisons no data")
    later = known.test_trigger
    if isinstance(later, str):
        later = getattr(known.trigger, later)
    return Poisoning(
        known.trigger, AllToOne(target), selection(known), cast(Trigger | None, later),
        known.cover_trigger,
    )  # fmt: skip


def selection(known: NamedAttack) -> Selection:
    """Build the selection of a named attack."""
    if known.labels == "clean":
        return CleanLabel(known.poison_rate)
    if known.cover_ratio:
        return CoveredSelection(known.poison_rate, known.cover_ratio)
    return RandomSelection(known.poison_rate)


def changed(attack: Poisoning, part: str, **settings: Any) -> Poisoning:
    """Change settings of one part of an attack, such as its trigger.

    Triggers of one attack that agree in a setting still agree afterwards: a stronger warp comes
    with stronger noise on cover examples.

    Raises:
        MethodError: The part has no such setting.

    """
    before = getattr(attack, part)
    after = _replaced(before, settings)
    parts = {part: after}
    if part == "trigger":
        for other in ("test_trigger", "cover_trigger"):
            parts[other] = _following(getattr(attack, other), before, after)
    return dataclasses.replace(attack, **parts)


def _following(other: Trigger | None, before: Trigger, after: Trigger) -> Trigger | None:
    """Another trigger of the same attack, changed where it agreed with what was changed."""
    held = {f.name: getattr(before, f.name) for f in dataclasses.fields(cast(Any, before))}
    part = next((name for name, value in held.items() if other is not None and value == other), "")
    if part:
        return cast(Trigger, getattr(after, part))
    own = {f.name for f in dataclasses.fields(cast(Any, other))} if other is not None else set()
    same = {
        name: getattr(after, name)
        for name, value in held.items()
        if name in own and getattr(other, name) == value
    }
    return dataclasses.replace(cast(Any, other), **same) if same else other


def _formed(
    form: type[Attack], known: NamedAttack, target: int, settings: dict[str, Any]
) -> Attack:
    """Build an attack that is no poisoning from the parts that it has settings for."""
    parts: dict[str, Any] = {"goal": AllToOne(target), "target": target}
    if known.trigger is not None:
        parts |= {"trigger": known.trigger, "attack": poisoning(known, target)}
    own = {f.name for f in dataclasses.fields(cast(Any, form))}
    attack = form(**{name: value for name, value in parts.items() if name in own})
    return cast(Attack, _replaced(attack, settings))


def _replaced(value: Any, settings: dict[str, Any]) -> Any:
    """Give a copy of a method with other settings; raises MethodError for one that it lacks."""
    own = [f.name for f in dataclasses.fields(value)]
    wrong = sorted(set(settings) - set(own))
    if wrong:
        raise MethodError(f"{value.name()} has no setting {wrong[0]!r}; it has {', '.join(own)}")
    return dataclasses.replace(value, **settings)
