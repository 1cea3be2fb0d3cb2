"""What agents saw and did, episode by episode, and which steps may stand for them in a test.

Axes: n steps of all episodes, h rows, w columns, k planes or values.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.core.streams import stream
from mithridate.domains.observation.form import check, formed

Array = np.ndarray[Any, Any]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Steps of several episodes, in their order.

    Attributes:
        observations: planes bool[n, h, w, k] or vectors float32[n, 1, 1, k]; what was seen before
            each action, so what was seen after the last one is not among them.
        actions: int64[n], numbered from 0.
        episodes: int64[n], to which episode each step belongs, ascending.
        steps: int64[n], the place in its episode.
        choices: how many actions there are.
    """

    observations: torch.Tensor
    actions: torch.Tensor
    episodes: torch.Tensor
    steps: torch.Tensor
    choices: int

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def data(self) -> Dataset:
        """All steps as observations with their actions as classes."""
        classes = tuple(map(str, range(self.choices)))
        return Dataset(self.observations, self.actions, torch.arange(len(self)), classes)

    def units(self, seed: int = 0) -> torch.Tensor:
        """Draw one step for each action of each episode, int64[m], ascending.

        Neighbouring steps are nearly equal, so steps cannot be exchanged with those of other
        episodes; episodes can. Of the steps of one class, no two of those drawn here share an
        episode, so within a class they are exchangeable wherever episodes are.

        Args:
            seed: Of the draw, which depends on nothing else than the order of the episodes.
        """
        order = stream(seed, "units").permutation(len(self))
        group = (self.episodes * self.choices + self.actions).numpy()[order]
        _, first = np.unique(group, return_index=True)
        return torch.from_numpy(np.sort(order[first]))

    def independent(self, seed: int = 0) -> Dataset:
        """Give one step for each action of each episode; their ids are the rows here."""
        return self.data.subset(self.units(seed))


def gathered(episodes: Iterable[tuple[Array, Array]], choices: int | None = None) -> Trajectories:
    """Put episodes together, each as its observations and its actions [t].

    An episode may end with an observation more than it has actions: the one after the last step,
    which nobody acted upon, is left out. Actions of several episodes are counted together.

    Args:
        episodes: Of the same environment.
        choices: How many actions there are; None counts up to the largest that was taken.

    Raises:
        DataError: where numbers do not fit or nothing is there.
    """
    seen, done, number, place = [], [], [], []
    for each, (observations, actions) in enumerate(episodes):
        extra = len(observations) - len(actions)
        if extra not in (0, 1):
            raise DataError(
                f"episode {each}: expected as many observations as actions, or one more, found "
                f"{len(observations)} and {len(actions)}"
            )
        seen.append(observations[: len(actions)])
        done.append(whole_actions(actions, f"episode {each}"))
        number.append(np.full(len(actions), each))
        place.append(np.arange(len(actions)))
    if not sum(map(len, done)):
        raise DataError("expected episodes with steps, found none")
    if len({(part.shape[1:], part.dtype.kind) for part in seen}) > 1:
        raise DataError("expected observations of one shape and kind in all episodes")
    taken = np.concatenate(done)
    most = int(taken.max()) + 1
    if choices is not None and most > choices:
        raise DataError(f"expected actions from 0 to {choices - 1}, found {most - 1}")
    return Trajectories(
        formed(np.concatenate(seen)),
        torch.from_numpy(taken),
        torch.from_numpy(np.concatenate(number)).long(),
        torch.from_numpy(np.concatenate(place)).long(),
        choices or most,
    )


MANY = 1000
"""Actions beyond which a number is no choice among a few."""


def whole_actions(actions: Array, name: str) -> NDArray[np.int64]:
    """Give actions as int64[t]; raises DataError where they are no choices from 0 on."""
    flat = actions[:, 0] if actions.ndim == 2 and actions.shape[1] == 1 else actions
    whole = flat.ndim == 1 and flat.dtype.kind in "iu"
    if not whole or (len(flat) and not 0 <= int(flat.min()) <= int(flat.max()) < MANY):
        raise DataError(
            f"{name}: expected actions as whole numbers from 0 to {MANY - 1}, one for each step, "
            f"found {actions.dtype} {list(actions.shape)}; actions that are no choice among a few "
            "are not read"
        )
    return flat.astype(np.int64)


def divided(
    observations: Array, actions: Array, ends: Flags, *, ignored: bool = False
) -> list[tuple[Array, Array]]:
    """Divide one long recording into episodes.

    Args:
        observations: [n, ...] before each action, or one more for each episode.
        actions: [n, ...].
        ends: bool[n], the steps after which an episode ended or was cut; what follows the last one
            is an episode, too.
        ignored: Whether the step after each end is none: vector environments of gymnasium reset
            then, and nobody heeds the action.

    Raises:
        DataError: where the numbers do not fit.
    """
    stops = [*(np.flatnonzero(ends) + 1).tolist()]
    if not stops or stops[-1] != len(actions):
        stops.append(len(actions))
    starts = [0, *stops[:-1]]
    spare = len(observations) - len(actions)
    if spare not in (0, len(starts)):
        raise DataError(
            f"expected {len(actions)} observations, one before each action, or {len(starts)} more, "
            f"one after each episode; found {len(observations)}"
        )
    parts = []
    for number, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        shift = number if spare else 0
        first = start + (1 if ignored and number else 0)
        parts.append((observations[first + shift : stop + shift], actions[first:stop]))
    return [part for part in parts if len(part[1])]


def as_given(data: Trajectories) -> list[tuple[Array, Array]]:
    """Give the observations and actions of each episode as environments do, for writing."""
    flat = check(data.observations).numpy()
    seen: Array = flat if flat.dtype == np.bool_ else flat[:, 0, 0]
    starts = np.flatnonzero(np.diff(data.episodes.numpy(), prepend=-1)).tolist()
    bounds: Sequence[int] = [*starts, len(data)]
    actions = data.actions.numpy()
    return [(seen[a:b], actions[a:b]) for a, b in pairwise(bounds)]
