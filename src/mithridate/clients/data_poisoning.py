"""Attackers among clients who poison their data and else do as they are asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mithridate.core.clients import ClientAttack
from mithridate.core.data import Dataset, Poisoned
from mithridate.core.errors import MethodError
from mithridate.core.method import Attack, State


@dataclass(frozen=True)
class DataPoisoning(ClientAttack):
    """Poison the client's own data and train on them honestly.

    Attributes:
        data: the attack on the data, of any kind that changes data.
    """

    paper = "Bagdasaryan et al., How To Backdoor Federated Learning, AISTATS 2020"
    links = ("https://arxiv.org/abs/1807.00459",)
    level = "weak"

    data: Attack | None = None


@dataclass(frozen=True)
class DistributedBackdoor(ClientAttack):
    """Stamp a part of one trigger at each attacker, and the whole of it at test time.

    Attacker number j among the attackers poisons by `parts[j mod k]`. The model learns each part,
    and obeys all of them together more than any.

    Attributes:
        data: the attack with the whole trigger, which springs the backdoor.
        parts: the same attack with one part of the trigger each.
    """

    paper = "Xie et al., DBA: Distributed Backdoor Attacks against Federated Learning, ICLR 2020"
    known_as = ("dba",)
    level = "weak"

    data: Attack | None = None
    parts: tuple[Attack, ...] = ()

    def poison(
        self, data: Dataset, client: int, rng: np.random.Generator, state: State | None = None
    ) -> Poisoned:
        """Poison by the attacker's own part; raises MethodError where there is none."""
        if not self.parts:
            raise MethodError(
                "a distributed backdoor needs `parts`, attacks with one part of the trigger each; "
                "trigger.divided(4) gives the parts of a trigger"
            )
        return self.parts[client % len(self.parts)].poison(data, rng, state)
