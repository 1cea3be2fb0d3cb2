"""Attacks under the names that the field gives them, as plain values that a domain can write down.

A domain knows what to stamp and how strongly; how that becomes an attack is known in
`mithridate.attacks.named`. Whatever stands in a tuple `ATTACKS` of a module of methods is found.
"""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
from typing import Literal

from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger


@dataclass(frozen=True)
class NamedAttack:
    """An attack of the literature: its trigger, and which examples get it.

    Attributes:
        name: What the field calls it, in kebab case.
        summary: What it does, in one plain sentence.
        trigger: What training examples carry; None where the attack finds its own.
        test_trigger: What springs the backdoor, where that is another trigger; a string names the
            setting of `trigger` that holds it.
        cover_trigger: What cover examples carry, where that is another trigger.
        labels: "changed" where poison gets the target label, "clean" where it has it already.
        poison_rate: Share of the data set if below 1, else the number of examples.
        cover_ratio: Cover examples for each poisoned one.
        form: The name of the method of the kind "attack" that it is a value of.
        known_as: Other names by which it is found.
        paper: Where it was published, if that is not the paper of the trigger or the form.
        links: URLs of that paper, as far as they are known for certain.

    """

    name: str
    summary: str
    trigger: Trigger | None = None
    test_trigger: Trigger | str | None = None
    cover_trigger: Trigger | None = None
    labels: Literal["changed", "clean"] = "changed"
    poison_rate: float = 0.01
    cover_ratio: float = 0.0
    form: str = "poisoning"
    known_as: tuple[str, ...] = ()
    paper: str = ""
    links: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        triggers = {"trigger": self.trigger, "cover_trigger": self.cover_trigger}
        if not isinstance(self.test_trigger, str):
            triggers["test_trigger"] = self.test_trigger
        for setting, value in triggers.items():
            known = isinstance(value, Trigger) and is_dataclass(value)
            if not known and value is not None:
                raise self._wrong(
                    setting,
                    "a trigger, a frozen dataclass with its settings, as PatchTrigger()",
                    value,
                )
        for setting, number in (
            ("poison_rate", self.poison_rate),
            ("cover_ratio", self.cover_ratio),
        ):
            if not isinstance(number, int | float) or number < 0:
                raise self._wrong(setting, "a number of at least 0", number)

    def _wrong(self, setting: str, expected: str, value: object) -> MethodError:
        return MethodError(
            f"the attack {self.name!r}: expected {setting} to be {expected}, found {value!r}"
        )
