"""The contract of attackers among the clients of a federation, and what they may know.

Axes: p numbers of a model's parameters, m clients of a round, h honest ones among them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset, Poisoned, leave_untouched
from mithridate.core.errors import EvidenceWithheld, MethodError
from mithridate.core.fit import Wrap
from mithridate.core.method import Attack, Method, State
from mithridate.core.objective import Objective
from mithridate.core.runtime import Runtime

Level: TypeAlias = Literal["weak", "medium", "strong"]
"""What an attacker has in hand: own data; own training, too; what others send, too."""

GRANTED: dict[str, Level] = {
    "data": "weak", "start": "weak", "last_step": "weak", "segments": "weak",
    "aggregator": "medium", "mask": "medium", "share": "medium",
    "others": "strong", "masks": "strong", "consensus": "strong",
}  # fmt: skip
"""The lowest level at which each thing may be read."""

LEVELS: tuple[Level, ...] = ("weak", "medium", "strong")

T = TypeVar("T")


class Known:
    """What an attacker among the clients may read in one round; more than its level grants raises.

    Each thing that is read is noted in `used`. A value may be given as a function without
    arguments, which is called when the value is first read.

    Args:
        level: of the attacker.
        client: its number.
        number: of the round, from 0.
        rounds: how many there will be.
        given: of the names of `GRANTED`, those that this federation has.
    """

    def __init__(self, level: Level, client: int, number: int, rounds: int, **given: Any) -> None:
        unknown = sorted(set(given) - set(GRANTED))
        if unknown:
            raise MethodError(f"nobody can know {unknown[0]!r}; known: {sorted(GRANTED)}")
        self.level, self.client, self.number, self.rounds = level, client, number, rounds
        self.used: set[str] = set()
        self._given = {name: value for name, value in given.items() if value is not None}

    def has(self, name: str) -> bool:
        """Whether something is granted and there to be read."""
        return name in self._given and LEVELS.index(GRANTED[name]) <= LEVELS.index(self.level)

    def _read(self, name: str) -> Any:
        needed = GRANTED[name]
        if LEVELS.index(needed) > LEVELS.index(self.level):
            raise EvidenceWithheld(
                f"a {self.level} attacker among the clients may not read {name!r}; that takes a "
                f"{needed} one: set the level of the attack"
            )
        if name not in self._given:
            raise MethodError(
                f"this federation has no {name!r} in round {self.number}; it has "
                f"{sorted(self._given)}"
            )
        self.used.add(name)
        value = self._given[name]
        if callable(value) and not isinstance(value, nn.Module):
            value = self._given[name] = value()
        return value

    @property
    def data(self) -> Dataset:
        """What the client trains on, after its own poisoning. Weak."""
        return self._as(Dataset, "data")

    @property
    def start(self) -> torch.Tensor:
        """The parameters that the server sent, float32[p]. Weak."""
        return self._as(torch.Tensor, "start")

    @property
    def last_step(self) -> torch.Tensor:
        """What the global parameters moved by in the round before, float32[p]. Weak."""
        return self._as(torch.Tensor, "last_step")

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """First and last-plus-one number of each tensor among the p. Weak."""
        return self._as(tuple, "segments")

    @property
    def aggregator(self) -> Method:
        """The value of the aggregator. Medium."""
        return self._as(Method, "aggregator")

    @property
    def mask(self) -> torch.Tensor:
        """The numbers that this client trains under an isolating protocol, bool[p]. Medium."""
        return self._as(torch.Tensor, "mask")

    @property
    def share(self) -> float:
        """The share of this client's update in the plain mean. Medium."""
        return self._as(float, "share")

    @property
    def others(self) -> torch.Tensor:
        """The updates of the honest clients of this round, float32[h, p]. Strong."""
        return self._as(torch.Tensor, "others")

    @property
    def masks(self) -> torch.Tensor:
        """The masks of all clients in the round before, bool[m, p]. Strong."""
        return self._as(torch.Tensor, "masks")

    @property
    def consensus(self) -> torch.Tensor:
        """The numbers that survived the fusion of the round before, bool[p]. Strong."""
        return self._as(torch.Tensor, "consensus")

    def _as(self, kind: type[T], name: str) -> T:
        value = self._read(name)
        if not isinstance(value, kind):
            raise MethodError(
                f"expected {name} to be of the type {kind.__name__}, found {type(value).__name__}"
            )
        return value


class ClientAttack(Method):
    """An attacker among the clients of a federation.

    It may poison its data, change how it trains, and change what it submits. Each part is by
    default that of an honest client.
    """

    kind = "client-attack"
    level: ClassVar[Level] = "weak"
    """What the attacker has in hand; reading more raises."""
    data: Attack | None = None
    """The attack on its data; a dataclass writes it as a field. None: the data stay."""

    @property
    def plants(self) -> bool:
        """Whether there is a backdoor that `triggered_test` springs."""
        own = type(self).triggered_test is not ClientAttack.triggered_test
        return own or self.data is not None

    def learn(
        self, data: Dataset, rng: np.random.Generator, runtime: Runtime | None = None
    ) -> State:
        """Learn what the attack on the data needs, once for all attackers; {} where nothing."""
        return {} if self.data is None else self.data.learn(data, rng, runtime)

    def poison(
        self, data: Dataset, client: int, rng: np.random.Generator, state: State | None = None
    ) -> Poisoned:
        """Poison what one client trains on; the argument is left untouched.

        Args:
            client: its place among the attackers, from 0.
            state: of `learn`.
        """
        if self.data is None:
            return leave_untouched(data)
        return self.data.poison(data, rng, state)

    def triggered_test(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Dataset:
        """Give triggered test data with the labels that the attackers want; see `Attack`.

        Raises:
            MethodError: where there is no attack on data, so that nothing triggers.
        """
        if self.data is None:
            raise MethodError(
                f"{self.name()} plants no backdoor, so nothing can be triggered; judge it by the "
                "accuracy that is lost, or give it an attack on data"
            )
        return self.data.triggered_test(data, rng, state)

    def wrap(self, known: Known) -> Wrap | None:
        """Give what changes the steps of the attacker's training; None: they are honest ones."""
        return None

    def objective(self, model: nn.Module, known: Known) -> Objective | None:
        """Give what the attacker's training minimises; None: what honest clients minimise.

        Args:
            model: the network that is trained, with the parameters that the server sent.
        """
        return None

    def mask(self, mask: torch.Tensor, known: Known) -> torch.Tensor | None:
        """Give the numbers that the attacker trains and claims where clients isolate themselves.

        Args:
            mask: bool[p], what it held after the last round, or at first.

        Returns:
            bool[p]; None where it searches as honest clients do.
        """
        return None

    def submit(self, update: torch.Tensor, known: Known, rng: np.random.Generator) -> torch.Tensor:
        """Give what is sent instead of the trained update, float32[p]; the argument stays."""
        return update
