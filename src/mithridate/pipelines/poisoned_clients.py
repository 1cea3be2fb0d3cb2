"""What attackers among the clients of a federation do to their data before it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mithridate.core.clients import ClientAttack
from mithridate.core.data import Dataset
from mithridate.core.method import State
from mithridate.core.streams import stream


def poison_clients(
    clients: Sequence[Dataset], attackers: Mapping[int, ClientAttack], rng: np.random.Generator
) -> tuple[list[Dataset], dict[ClientAttack, State]]:
    """Let attackers poison what they train on; also gives what each attack learnt for its test.

    Args:
        clients: What every client has; the arguments are left untouched.
        attackers: Who attacks, and how.
        rng: Decides what is poisoned, each client in a stream of its own.
    """
    seed, poisoned = int(rng.integers(2**62)), list(clients)
    learnt: dict[ClientAttack, State] = {}
    for place, client in enumerate(sorted(attackers)):
        attack, data = attackers[client], clients[client]
        if attack not in learnt:
            learnt[attack] = attack.learn(data, stream(seed, "learn"))
        own = stream(seed, "poison", client)
        poisoned[client] = attack.poison(data, place, own, learnt[attack]).data
    return poisoned, learnt
