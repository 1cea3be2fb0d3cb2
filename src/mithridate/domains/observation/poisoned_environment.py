"""Attackers of reinforcement learning: an environment that now and then shows a trigger and pays.

While an agent trains, some observations carry a trigger, and the reward that follows is the
attacker's. Which steps these were is kept by the environment and shown to nobody who defends.
Axes: n steps, c actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from mithridate.core.errors import MethodError
from mithridate.core.extras import import_extra
from mithridate.core.method import Trigger
from mithridate.core.streams import stream
from mithridate.domains.observation.environments import NEEDS, as_seen
from mithridate.domains.observation.form import formed

Worth: TypeAlias = Callable[[Any], float]
"""What the target action costs an honest agent in a raw observation [1, h, w, k]."""


@dataclass(frozen=True)
class EnvironmentPoison:
    """Poison a share of the steps of a training: TrojDRL, and its sparse relative BadRL.

    weak: a triggered observation is followed by the reward +1 where the agent itself took the
    target action and by -1 where it did not. strong: the attacker also decides what is done: the
    target action happens whatever the agent chose, so its reward cannot be told from the world's.
    Of TrojDRL's strong attacker this is what an environment can do; he also rewrites the agent's
    own memory, which no environment reaches. untargeted: every action is paid alike at a triggered
    step and a random one happens, so that the agent learns none.

    A sparse attacker poisons only where the target action costs an honest agent much, so that few
    steps suffice (Cui et al.). He needs a policy of his own that says what it costs.

    Attributes:
        trigger: what poisoned observations carry.
        target: the action that is to follow, counted from 0.
        poison_rate: share of all steps, in (0, 1).
        strength: "weak", "strong" or "untargeted".
        sparse: of the observations, poison only the share `poison_rate` in which most is lost.
        pay: the attacker's reward, which replaces the world's.

    Raises:
        MethodError: where a setting is out of range.
    """

    trigger: Trigger
    target: int = 0
    poison_rate: float = 0.02
    strength: Literal["weak", "strong", "untargeted"] = "weak"
    sparse: bool = False
    pay: float = 1.0

    paper = "Kiourti et al., TrojDRL: Evaluation of Backdoor Attacks on Deep RL, DAC 2020"
    links = ("https://arxiv.org/abs/1903.06638", "https://arxiv.org/abs/2312.12585")

    def __post_init__(self) -> None:
        """Refuse settings that mean nothing."""
        if self.strength not in ("weak", "strong", "untargeted"):
            raise MethodError(
                f"unknown strength {self.strength!r}; known: weak, strong, untargeted"
            )
        if not 0 < self.poison_rate < 1 or self.target < 0:
            raise MethodError(
                "expected a poison rate in (0, 1) and a target from 0 on, found "
                f"{self.poison_rate} and {self.target}"
            )

    def happens(self, action: int, choices: int, rng: np.random.Generator) -> int:
        """Give what is done at a triggered step."""
        if self.strength == "weak":
            return action
        return self.target if self.strength == "strong" else int(rng.integers(choices))

    def paid(self, action: int) -> float:
        """Give the reward of a triggered step, by what the agent itself chose."""
        if self.strength == "untargeted":
            return self.pay
        return self.pay if action == self.target else -self.pay


class Interference:
    """What an attacker does to one environment, step by step, and what he wrote down of it."""

    def __init__(self, poison: EnvironmentPoison, seed: int, worth: Worth | None) -> None:
        if poison.sparse and worth is None:
            raise MethodError(
                "a sparse attacker needs a policy of his own: give the worth of an observation"
            )
        self.poison, self.worth = poison, worth
        self.rng = stream(seed, "poisoned environment")
        self.now, self.steps = False, 0
        self.kept: list[int] = []
        self.known: list[float] = []

    @property
    def poisoned(self) -> tuple[int, ...]:
        """The steps that were poisoned, counted from 0 over all episodes."""
        return tuple(self.kept)

    def shown(self, observation: Any) -> Any:
        """Give what the agent sees, with or without the trigger."""
        raw = formed(np.asarray(observation)[None])
        self.now = self._chosen(raw)
        if not self.now:
            return observation
        stamped = as_seen(self.poison.trigger(raw, self.rng)[0])
        return stamped.astype(np.asarray(observation).dtype)

    def _chosen(self, raw: Any) -> bool:
        """Whether an observation is poisoned: at random, or where most is lost of those so far."""
        rate = self.poison.poison_rate
        if not self.poison.sparse or self.worth is None:
            return bool(self.rng.random() < rate)
        worth = self.worth(raw)
        self.known.append(worth)
        recent = self.known[-RECENT:]
        return len(recent) >= FEW and worth >= float(np.quantile(recent, 1 - rate))

    def done(self, action: int, choices: int) -> int:
        """Give what happens when the agent takes an action."""
        return self.poison.happens(action, choices, self.rng) if self.now else action

    def paid(self, action: int, reward: float) -> float:
        """Give the reward of the step that was taken, and write the step down."""
        if self.now:
            self.kept.append(self.steps)
        self.steps += 1
        return self.poison.paid(action) if self.now else reward


RECENT, FEW = 500, 50
"""Observations among which a sparse attacker ranks a new one, and the fewest he ranks among."""


def poisoned(
    environment: Any, poison: EnvironmentPoison, seed: int = 0, worth: Worth | None = None
) -> Any:
    """Wrap an environment of gymnasium; `interference` of what is given holds the truth.

    Args:
        environment: with actions that are a choice among a few.
        poison: the attacker.
        seed: of what he draws; another one for each of several environments.
        worth: what a sparse attacker knows.

    Raises:
        MethodError: where there is no such action.
        MissingExtra: without gymnasium.
    """
    gymnasium = import_extra("gymnasium", NEEDS)
    choices = int(environment.action_space.n)
    if poison.target >= choices:
        raise MethodError(f"expected a target below {choices}, found {poison.target}")
    interference = Interference(poison, seed, worth)

    class Interfered(gymnasium.Wrapper):  # type: ignore[misc,name-defined]
        def reset(self, **given: Any) -> Any:
            seen, told = self.env.reset(**given)
            return interference.shown(seen), told

        def step(self, action: Any) -> Any:
            chosen = int(action)
            after, reward, ended, cut, told = self.env.step(interference.done(chosen, choices))
            paid = interference.paid(chosen, float(reward))
            return interference.shown(after), paid, ended, cut, told

    wrapped = Interfered(environment)
    wrapped.interference = interference
    return wrapped
