"""The strongest features of scanned data: which examples each consists of, and how strong it is.

They are features and no verdicts: what is found may be a backdoor or a natural group. Axes: n
suspects, N rows that were compared, s sizes, m trainings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import scipy
import torch

from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.detectors._cells import cells_of
from mithridate.detectors._slopes import Slopes, excesses
from mithridate.detectors.strongest_feature import StrongestFeature
from mithridate.pipelines.announcing import Announce

KEPT = 64
"""Members of each feature that are kept to be shown."""

COEFFICIENTS = 3
"""Of the regression that measures a slope."""


@dataclass(frozen=True, eq=False)
class StrongFeature:
    """One end of a class, at the size at which it stands out most.

    Attributes:
        label: of the class.
        end: of the class; 2 d and 2 d + 1 are the two ends of direction d.
        size: number of members.
        excess: by how much it stands out among sets of its size in other classes.
        slopes: float64[s], what one more member is worth at each size (log odds).
        margins: float64[s], half the width of the 95 % interval of each, infinite where nothing
            was measured.
        at: the place of its size among the sizes.
        members: int64[k], the first of them among the suspects, from the end inwards.
        counts: float64[m], how many members each training saw.
        held_out: float64[m], the mean margin of the other members, less their usual ones.
    """

    label: int
    end: int
    size: int
    excess: float
    slopes: torch.Tensor
    margins: torch.Tensor
    at: int
    members: torch.Tensor
    counts: torch.Tensor
    held_out: torch.Tensor

    @property
    def slope(self) -> float:
        """What one more member is worth at its size."""
        return float(self.slopes[self.at])

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the slope."""
        wide = float(self.margins[self.at])
        return self.slope - wide, self.slope + wide


@dataclass(frozen=True, eq=False)
class StrongFeatures:
    """All measured features, the one that stands out most first.

    Attributes:
        features: of every end of every class.
        sizes: at which they were measured.
        trainings: that measured them.
    """

    features: tuple[StrongFeature, ...]
    sizes: tuple[int, ...]
    trainings: int


def with_subsets(detectors: tuple[Detector, ...]) -> tuple[Detector, ...]:
    """Add the strongest feature to the detectors of a scan, unless it is among them."""
    if any(isinstance(each, StrongestFeature) for each in detectors):
        return detectors
    return (*detectors, StrongestFeature())


def on_network(detectors: tuple[Detector, ...], network: str) -> tuple[Detector, ...]:
    """Let trainings on subsets take the network of the scan, unless they have one of their own."""
    return tuple(
        replace(each, network=network)
        if isinstance(each, StrongestFeature) and not each.network
        else each
        for each in detectors
    )


def without_subsets(detectors: tuple[Detector, ...]) -> tuple[Detector, ...]:
    """Leave out the detector that trains networks, where a scan is rehearsed or repeated."""
    return tuple(each for each in detectors if not isinstance(each, StrongestFeature))


@dataclass(eq=False)
class Thorough:
    """The part of a scan that trains on subsets of the data.

    Attributes:
        step: is told of every training.
        home: The folder that keeps what the trainings said, None for nowhere.
        state: What was learnt, once it was.
    """

    step: Announce
    home: Path | None = None
    state: State | None = None

    def fitting(self, detector: StrongestFeature) -> Callable[[View], State]:
        """Give a way to fit the detector that keeps and tells of its trainings."""

        def fit(view: View) -> State:
            said = "training {} of {} on subsets of the data"

            def told(done: int, total: int) -> None:
                if done < total:
                    self.step(said.format(done + 1, total))

            self.step(said.format(1, detector.trainings))
            state = detector.fitted(view, self.home, told)
            self.state = state if "values" in state else None
            return state

        return fit

    def features(self, view: View, order: torch.Tensor | None, n: int) -> StrongFeatures | None:
        """Describe what was measured, None where nothing was.

        Args:
            view: What it was measured on, N rows.
            order: int64[N], where each row stands among suspects and trusted examples; None where
                they stand in that order.
            n: Suspects, which stand first.
        """
        if self.state is None:
            return None
        places = torch.arange(len(view.labels)) if order is None else order
        return strong_features(self.state, view, places, n)


def strong_features(state: State, view: View, places: torch.Tensor, n: int) -> StrongFeatures:
    """Describe what a detector measured.

    Args:
        state: What `StrongestFeature` learnt by the route "cells".
        view: What it learnt that from, N rows.
        places: int64[N], where each row stands among suspects and trusted examples.
        n: Suspects, which stand first.
    """
    cells = cells_of(state, view, torch.arange(len(view.labels)))
    measured = state["errors"].isfinite()
    values = state["values"].masked_fill(~measured, torch.nan)
    errors = state["errors"].masked_fill(~measured, torch.nan)
    excess = excesses(Slopes(values, errors, values, values)).nan_to_num(nan=-math.inf)
    trainings = state["counts"].shape[3]
    factor = float(scipy.stats.t.ppf(0.975, max(1, trainings - COEFFICIENTS)))
    features = []
    for number, label in enumerate(state["labels"].tolist()):
        for end, members in enumerate(cells.ends(number)):
            at = int(excess[number, end].argmax())
            if not math.isfinite(float(excess[number, end, at])):
                continue
            suspects = places[members[: cells.sizes[at]]]
            features.append(StrongFeature(
                label, end, cells.sizes[at], float(excess[number, end, at]),
                state["values"][number, end], factor * state["errors"][number, end], at,
                suspects[suspects < n][:KEPT], state["counts"][number, end, at],
                state["held_out"][number, end, at],
            ))  # fmt: skip
    features.sort(key=lambda each: -each.excess)
    return StrongFeatures(tuple(features), cells.sizes, trainings)
