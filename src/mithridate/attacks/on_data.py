"""An attack on labelled data in one call: what `mithridate poison` does, without its files."""

from __future__ import annotations

from typing import Any

from mithridate.attacks.named import named_attack
from mithridate.core.data import Dataset, Poisoned
from mithridate.core.method import Attack
from mithridate.core.streams import stream


def poison(
    data: Dataset, attack: str | Attack = "badnets", poison_rate: float | None = None,
    *, target: int = 0, seed: int = 0, **settings: Any,
) -> Poisoned:  # fmt: skip
    """Attack labelled data, as `mithridate poison` does: the data, and the truth about them.

    Args:
        data: The examples, which are left as they are.
        attack: Its name in the literature, or an attack.
        poison_rate: Share of the data set if below 1, else the number of examples; None takes that
            of the paper.
        target: The target label.
        seed: Of everything that is drawn at random.
        **settings: Of the trigger of a named attack, such as size=2.

    """
    if isinstance(attack, str):
        attack = named_attack(attack, poison_rate, target=target, **settings)
    state = attack.learn(data, stream(seed, "learn"))
    return attack.poison(data, stream(seed, "poison"), state)
