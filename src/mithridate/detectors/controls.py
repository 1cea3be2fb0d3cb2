"""Controls: detectors that know nothing, to test whatever measures detectors.

Axes: n examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.core.method import Detector, State
from mithridate.core.streams import stream
from mithridate.core.view import View


@dataclass(frozen=True)
class Constant(Detector):
    """Control that finds every example equally suspicious: its AUROC is 0.5 exactly."""

    assumes = "nothing, and it sees nothing"

    def fit(self, view: View) -> State:
        """Nothing is learnt."""
        return {}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example 0, float64[n]."""
        return torch.zeros(len(view.labels), dtype=torch.float64)


@dataclass(frozen=True)
class Random(Detector):
    """Control that scores by chance alone: its AUROC is 0.5 on average.

    Attributes:
        seed: of the scores, which depend on the position of an example and on nothing else.
    """

    assumes = "nothing, and it sees nothing"

    seed: int = 0

    def fit(self, view: View) -> State:
        """Nothing is learnt."""
        return {}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example uniformly in 0..1, float64[n]."""
        return torch.from_numpy(stream(self.seed, "random-scores").random(len(view.labels)))


@dataclass(frozen=True)
class GradientNorm(Detector):
    """Control that scores by the length of the derivative of an example's margin by the weights.

    The score is -|g_i|, of the projected derivative: examples whose answer no weight can move come
    first. What `strongest-feature` finds beyond that is found by comparing directions.
    """

    assumes = "the answers to poisoned examples are settled, so that no weight moves them"

    def fit(self, view: View) -> State:
        """Nothing is learnt."""
        return {}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example by the negative length, float64[n]."""
        squares: torch.Tensor = view.attribution.double().square().sum(1)
        return -squares.sqrt()
