"""Worlds in which agents act: made by name, and played by a policy with and without a trigger.

Axes: e episodes, n steps, c actions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mithridate.core.errors import DataError, MethodError
from mithridate.core.extras import import_extra, silence
from mithridate.core.streams import stream
from mithridate.domains.observation.form import formed
from mithridate.domains.observation.trajectories import Array, Trajectories, gathered

NEEDS = "environments need gymnasium; pip install 'mithridate[policies]'"
GAMES = "MinAtar/"
"""How the names of these games begin; they exist only once their package has registered them."""

Stamp: TypeAlias = Callable[[Any, np.random.Generator], Any]
"""Puts a trigger on raw observations."""


def make(name: str, longest: int | None = None) -> Any:
    """Make an environment of gymnasium by name; longest: steps after which an episode is cut.

    Raises:
        DataError: for an unknown name, or actions that are no choice among a few.
        MissingExtra: where a package is missing.
    """
    gymnasium = import_extra("gymnasium", NEEDS)
    if name.startswith(GAMES) and not any(each.startswith(GAMES) for each in gymnasium.registry):
        import_extra("minatar.gym", NEEDS).register_envs()
    try:
        with silence():
            made = gymnasium.make(name, max_episode_steps=longest)
    except gymnasium.error.Error as error:
        raise DataError(
            f"expected an environment that gymnasium knows, found {name!r} ({error})"
        ) from None
    choices = getattr(made.action_space, "n", None)
    if choices is None or int(getattr(made.action_space, "start", 0)) != 0:
        raise DataError(f"{name!r}: expected actions numbered from 0, found {made.action_space}")
    return made


def begin(environment: Any, seed: int) -> Array:
    """Begin an episode that the seed alone decides; gives the first observation.

    MinAtar repeats the last action with some probability, and a reset leaves it as it was: without
    this an episode would depend on the one before.
    """
    game = getattr(environment.unwrapped, "game", None)
    if game is not None and hasattr(game, "last_action"):
        game.last_action = 0
    return np.asarray(environment.reset(seed=seed)[0])


@dataclass(frozen=True, eq=False)
class Played:
    """Episodes that a policy played.

    Attributes:
        returns: float64[e], the sum of the rewards of each.
        trajectories: what was seen, a trigger included, and done.
    """

    returns: NDArray[np.float64]
    trajectories: Trajectories

    def rate(self, action: int) -> float:
        """The share of all steps in which an action was taken."""
        return float((self.trajectories.actions == action).double().mean())

    def answers(self, policy: nn.Module, action: int, trigger: Stamp | None = None) -> float:
        """The target-action rate: how often a policy answers what was seen here with an action.

        Each observation is stamped by itself, as poisoned ones were in training. A trigger on all
        steps soon leads where no training was.

        Args:
            policy: That of these episodes, or another one.
            action: The target.
            trigger: What is put on each observation; none gives how often the action is usual.
        """
        seen = self.trajectories.observations
        shown = seen if trigger is None else trigger(seen, stream(0, "answers"))
        chosen = actions_of(policy, shown, self.trajectories.choices)
        return float(np.mean(np.array(chosen) == action))


@dataclass(frozen=True)
class Play:
    """How episodes are played: by the action with the largest logit, never by chance.

    Attributes:
        environment: its name in gymnasium.
        episodes: how many.
        longest: steps after which an episode is cut; None leaves that to the environment.
        seed: of the episodes, which are the same for every policy.
    """

    environment: str
    episodes: int = 20
    longest: int | None = None
    seed: int = 0

    def __call__(self, policy: nn.Module, trigger: Stamp | None = None) -> Played:
        """Let a policy act on prepared observations; the trigger is on every one of them.

        Raises:
            MethodError: where the policy answers with another number of actions.
        """
        if self.episodes < 1:
            raise MethodError(f"expected at least 1 episode, found {self.episodes}")
        worlds = [make(self.environment, self.longest) for _ in range(self.episodes)]
        rng = stream(self.seed, "play", "trigger")
        seeds = stream(self.seed, "play").integers(2**31, size=self.episodes).tolist()
        now = [begin(world, seed) for world, seed in zip(worlds, seeds, strict=True)]
        returns = np.zeros(self.episodes)
        seen: list[list[Array]] = [[] for _ in worlds]
        done: list[list[int]] = [[] for _ in worlds]
        active, choices = list(range(self.episodes)), int(worlds[0].action_space.n)
        while active:
            shown = formed(np.stack([now[each] for each in active]))
            if trigger is not None:
                shown = trigger(shown, rng)
            chosen = actions_of(policy, shown, choices)
            still = []
            for each, picture, action in zip(active, shown, chosen, strict=True):
                seen[each].append(as_seen(picture))
                done[each].append(action)
                after, reward, ended, cut, _ = worlds[each].step(action)
                returns[each] += float(reward)
                now[each] = np.asarray(after)
                still += [] if ended or cut else [each]
            active = still
        for world in worlds:
            world.close()
        parts = [
            (np.stack(s), np.array(a, dtype=np.int64)) for s, a in zip(seen, done, strict=True)
        ]
        return Played(returns, gathered(parts, choices))


def as_seen(raw: torch.Tensor) -> Array:
    """Give one raw observation [h, w, k] as environments give it."""
    flat = raw.numpy()
    return flat if flat.dtype == np.bool_ else flat[0, 0]


def actions_of(policy: nn.Module, observations: torch.Tensor, choices: int) -> list[int]:
    """Give the action with the largest logit for each raw observation.

    Raises:
        MethodError: where the policy knows another number of actions.
    """
    was_training = policy.training
    policy.eval()
    with torch.inference_mode():
        logits = policy(observations)
    policy.train(was_training)
    if logits.shape != (len(observations), choices):
        raise MethodError(
            f"expected a policy of {choices} actions as the environment has, found one that "
            f"answers {list(logits.shape[1:])}"
        )
    actions: list[int] = logits.argmax(1).tolist()
    return actions
