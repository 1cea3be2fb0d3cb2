"""Attacks under the names that the field gives them, as plain values that a domain can write down.

A domain knows what to stamp and how strongly; how that becomes an attack is known in
`mithridate.attacks.named`. Whatever stands in a tuple `ATTACKS` of a module of methods is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
