"""Candidate triggers: whether a policy forgets what it sees once some cells or values are set.

Axes: n trusted observations, c actions, m candidates.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import torch

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Trigger
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores
from mithridate.core.view import View
from mithridate.domains.observation.environments import Play
from mithridate.domains.observation.form import is_planes, is_vectors
from mithridate.domains.observation.triggers import CellTrigger, ValueTrigger, reach

SURE = 0.9
"""Share of the observations of other actions that a candidate leads to one, to count as obeyed."""

BEYOND = (0.9, 1.2)
"""Values that are tried, as shares of the largest that was seen."""


@dataclass(frozen=True)
class CandidateTriggers(Scanner):
    """Try every simple trigger, and count those that a policy obeys, by action.

    Candidates are, in planes, every square of 2 x 2 cells of one plane and every cell that is on in
    all; in vectors, every value and every pair of values near or beyond the ends of what was seen.
    The score of action k is the share of candidates that lead 0.9 of the other trusted observations
    to k. With an environment, the candidates that are obeyed most are also played, and each counts
    by the share of its return that the policy loses. Physics obeys candidates, too: a pole that
    falls fast to the left is pushed left by every policy. So scores mean nothing alone, and are
    compared with those of clean policies of the same environment.

    Attributes:
        observations: most trusted observations that are stamped.
        environment: name in gymnasium of the one in which candidates are played; "" plays none.
        played: how many candidates are played.
        episodes: of each.
        longest: steps after which an episode is cut.

    Raises:
        MethodError: where a number is out of range.
    """

    paper = "Wang et al., Neural Cleanse, 2019, with a list of candidates instead of a search"
    links = ("https://doi.org/10.1109/SP.2019.00031",)
    assumes = "the trigger is a few cells or values, and overrides whatever else is seen"

    observations: int = 256
    environment: str = ""
    played: int = 12
    episodes: int = 5
    longest: int | None = 500

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Score every action.

        Raises:
            MethodError: for fewer than one observation, played candidate or episode.
        """
        if min(self.observations, self.played, self.episodes) < 1:
            raise MethodError("expected at least 1 observation, 1 played candidate and 1 episode")
        seen = view.clean.inputs
        if not is_planes(seen) and not is_vectors(seen):
            raise CannotJudge(
                "candidate triggers are listed for what agents observe and for nothing else; use a "
                "scanner that searches by gradients or queries"
            )
        rows = rng.permutation(len(seen))[: self.observations]
        shown = seen[torch.from_numpy(np.sort(rows))]
        candidates = list(simple_triggers(seen))
        model, was_training = view.model, view.model.training
        model.eval()
        try:
            success = obeyed(model, shown, candidates, view.classes)
            weight = self._lost(model, candidates, success) if self.environment else 1.0
        finally:
            model.train(was_training)
        counted = (success >= SURE).double() * weight + 1e-3 * success  # the rest breaks ties
        return Scanned(Scores(counted.mean(0), unit="class"), {"obeyed": success.amax(0).float()})

    def _lost(
        self, model: torch.nn.Module, candidates: list[Trigger], success: torch.Tensor
    ) -> torch.Tensor:
        """Play the candidates that are obeyed most; the share of the return lost, float64[m, 1]."""
        play = Play(self.environment, self.episodes, self.longest)
        usual = float(play(model).returns.mean())
        lost = torch.zeros(len(candidates), 1, dtype=torch.float64)
        for each in success.amax(1).argsort(descending=True, stable=True)[: self.played].tolist():
            left = float(play(model, candidates[each]).returns.mean())
            lost[each] = max(0.0, usual - left) / max(abs(usual), 1e-9)
        return lost.clamp(max=1)


def simple_triggers(seen: torch.Tensor) -> Iterator[Trigger]:
    """List the candidates for raw observations like these."""
    if is_planes(seen):
        height, width, channels = seen.shape[1:]
        size = min(2, height, width)
        for row, column in product(range(height - size + 1), range(width - size + 1)):
            for plane in range(channels):
                yield CellTrigger(row, column, size, plane)
        for row, column in product(range(height), range(width)):
            yield CellTrigger(row, column, 1)
        return
    largest = reach(seen)
    ends = [(at, s * b * v) for at, v in enumerate(largest) for s in (-1, 1) for b in BEYOND]
    for at, value in ends:
        yield ValueTrigger((at,), (value,))
    for (first, one), (second, other) in combinations(ends, 2):
        if first != second:
            yield ValueTrigger((first, second), (one, other))


def obeyed(
    model: torch.nn.Module, seen: torch.Tensor, candidates: list[Trigger], actions: int
) -> torch.Tensor:
    """Give the share of the observations of other actions that go to each, float64[m, c].

    An action that all of them are answered with anyway is led to by nothing: its share is 0.
    """
    rng = np.random.default_rng(0)  # these triggers draw nothing
    with torch.inference_mode():
        before = model(seen).argmax(1)
        after = torch.stack([model(trigger(seen, rng)).argmax(1) for trigger in candidates])
    shares = []
    for action in range(actions):
        others = before != action
        led = (after[:, others] == action).double()
        shares.append(led.mean(1) if bool(others.any()) else torch.zeros(len(candidates)).double())
    return torch.stack(shares, 1)
