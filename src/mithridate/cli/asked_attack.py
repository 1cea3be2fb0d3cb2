"""The attack that a request of `mithridate poison` asks for.

Axes: n examples.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, cast

from mithridate.attacks.goals import AllToOne, Goal
from mithridate.attacks.named import changed, named_attack
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection, Selection
from mithridate.cli.poison import WhichAttack
from mithridate.cli.settings import split
from mithridate.cli.terminal import note
from mithridate.core.errors import MethodError, UnknownMethod
from mithridate.core.method import Trigger
from mithridate.core.registry import domain_of, find, find_attack, find_attacks, resolve
from mithridate.core.settings import build, name_near, read_settings
from mithridate.domains.formats import Source

TRIGGERS = ("trigger", "test_trigger", "cover_trigger")
KINDS: dict[str, Any] = {**dict.fromkeys(TRIGGERS, Trigger), "goal": Goal, "selection": Selection}
"""The parts of an attack on data, and what kind of method each is."""


def check_names(asked: WhichAttack) -> None:
    """Refuse at once, before data are read, what no data could make right.

    Raises:
        UnknownMethod: for a name that there is not.
        MethodError: for flags that contradict each other or an attack that data cannot carry.
    """
    if (asked.attack is None) == (asked.trigger is None):
        raise MethodError(
            "expected --attack NAME or --trigger NAME, and one of them only; `mithridate methods "
            "named-attack` and `mithridate methods trigger` list the names"
        )
    for part, kind in KINDS.items():
        name = getattr(asked, part)
        if name is not None:
            _check_part(part, kind, name)
    split(asked.set or [], KINDS)
    if asked.attack is not None:
        _on_data(asked.attack)


def _check_part(part: str, kind: Any, name: str) -> None:
    """Raise UnknownMethod for a name that there is not, which may be that of an attack."""
    try:
        resolve(kind, name)
    except UnknownMethod as error:
        try:
            attack = find_attack(name).name
        except UnknownMethod:
            raise error from None
        raise UnknownMethod(
            f"{attack} is an attack of the literature, not a {part.replace('_', ' ')}: use "
            f"--attack {attack}"
        ) from None


def attack_of(asked: WhichAttack, where: str, source: Source) -> Poisoning:
    """Build the attack for the data that were read from a path or a named set.

    Raises:
        MethodError: where a setting is wrong, a class unknown, or a part is for other data.
    """
    given, domain = split(asked.set or [], KINDS), source.domain.name
    attack = _begun(asked, given, where, domain)
    goal = resolve(cast(Any, Goal), asked.goal) if asked.goal else type(attack.goal)
    given["goal"] = _numbered(goal, given["goal"], source.data.classes)
    parts = {
        part: build(KINDS[part], name, given.pop(part))
        for part in KINDS
        if part != "trigger" and (name := getattr(asked, part)) is not None
    }
    attack = dataclasses.replace(attack, **parts)
    for part, settings in given.items():
        attack = _with(attack, part, settings)
    if asked.poison_rate is not None:
        attack = changed(attack, "selection", poison_rate=asked.poison_rate)
    _check_triggers(attack, where, domain)
    return attack


def _begun(
    asked: WhichAttack, given: dict[str, dict[str, str]], where: str, domain: str
) -> Poisoning:
    """Build the named attack, or one of the trigger with the usual goal and selection."""
    if asked.attack is not None:
        _check_domain(where, find_attack(asked.attack).name, domain)
        return _on_data(asked.attack)
    trigger = build(KINDS["trigger"], cast(str, asked.trigger), given.pop("trigger"))
    return Poisoning(cast(Any, trigger), AllToOne(), RandomSelection())


def _on_data(name: str) -> Poisoning:
    """Build a named attack; raises MethodError where data alone cannot carry it."""
    attack, known = named_attack(name), find_attack(name)
    if isinstance(attack, Poisoning):
        return attack
    same = domain_of(known)
    raise MethodError(
        f"{known.name} has the {attack.controls} in hand, so no data set can carry it: in a recipe "
        f'named_attack("{known.name}") stands for it, and `mithridate bench run` trains and '
        f"attacks the network; attacks on {same or 'the'} data: {', '.join(_data_attacks(same))}"
    )


def _data_attacks(domain: str) -> list[str]:
    """The names of attacks that poison data of a domain."""
    attacks = find_attacks().values()
    return [a.name for a in attacks if a.form == "poisoning" and domain_of(a) in ("", domain)]


def _with(attack: Poisoning, part: str, settings: Mapping[str, str]) -> Poisoning:
    """Change settings of one part; raises MethodError where the attack has no such part."""
    value = getattr(attack, part)
    if not settings:
        return attack
    if value is None:
        flag = f"--{part.replace('_', '-')}"
        raise MethodError(f"--set {part}....: this attack has none; name one with {flag}")
    return changed(attack, part, **read_settings(value, settings))


def _numbered(
    goal: type[Goal], given: Mapping[str, str], classes: tuple[str, ...]
) -> dict[str, str]:
    """Give the settings of a goal with the numbers of classes in place of their names."""
    hints = typing.get_type_hints(goal)
    return {
        field: str(number_of(f"goal.{field}", written, classes))
        if hints.get(field) is int
        else written
        for field, written in given.items()
    }


def number_of(setting: str, written: str, classes: tuple[str, ...]) -> int:
    """Give the number of a class by its name, or by its number.

    Where it could be either, the name counts, and a note says so.

    Raises:
        MethodError: for neither.
    """
    number = int(written) if written.lstrip("-").isdecimal() else None
    if written in classes:
        named = classes.index(written)
        if number is not None and number != named:
            note(f"{setting}={written}: taken as the class of that name, which has number {named}")
        return named
    if number is not None and 0 <= number < len(classes):
        return number
    raise MethodError(
        f"{setting}={written}: expected the name of a class or a number in 0..{len(classes) - 1}; "
        f"{name_near(written, classes[:50])}"
    )


def _check_domain(where: str, name: str, domain: str) -> None:
    own = domain_of(find_attack(name))
    if own not in ("", domain):
        raise MethodError(
            f"{name} is an attack on {own} data, and {where!r} holds {domain} data; "
            f"attacks on {domain} data: {', '.join(_data_attacks(domain)) or 'none'}"
        )


def _check_triggers(attack: Poisoning, where: str, domain: str) -> None:
    """Raise MethodError where a trigger is for other data than these."""
    for part in TRIGGERS:
        trigger = getattr(attack, part)
        own = domain_of(type(trigger)) if trigger is not None else ""
        if own not in ("", domain):
            triggers = find(KINDS["trigger"]).items()
            fitting = [name for name, kind in triggers if domain_of(kind) in ("", domain)]
            raise MethodError(
                f"{trigger.name()} is for {own} data, and {where!r} holds {domain} data; "
                f"triggers for {domain} data: {', '.join(fitting) or 'none'}"
            )
    cover = any(getattr(attack.selection, name, 0) for name in ("cover", "cover_ratio"))
    if attack.cover_trigger is not None and not cover:
        raise MethodError(
            "a trigger for cover examples needs some: --set selection.cover=0.01, or "
            "--selection covered-selection"
        )
