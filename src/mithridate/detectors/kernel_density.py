"""Kernel density: inputs where trusted examples of the class they are called are rare, or crowd.

Axes: n trusted examples, q inputs, d features, c classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.stats.distances import blocks
from mithridate.stats.two_sided import two_sided_surprise

WIDTHS = 40
"""Bandwidths that are tried, from a fiftieth to twice the median distance."""


@dataclass(frozen=True)
class KernelDensity(Detector):
    """Score inputs by the density of trusted features of the class that they are called.

    f(x) = mean over trusted x_i of that class of exp(-|x - x_i|^2 / 2 h^2); the score is -ln f, ln
    f, or how unusual it is in the class, in either direction (`two_sided.py`). h is the bandwidth
    under which trusted examples, each left out of its own density, are most likely: sum ln f - d ln
    h is largest. The paper chooses h for each data set by hand and learns the threshold from
    adversarial inputs. Inputs of a class with fewer than 2 trusted examples are compared with all
    of them. Score other inputs than were fitted on: an input counts for its own density.

    Attributes:
        seeks: "sparse" places, as in the paper, "dense" ones, or "either".
        bandwidth: h, in units of the features; 0 chooses it from the trusted examples.

    Raises:
        MethodError: where the bandwidth is negative or there are fewer than 2 trusted examples.
        CannotJudge: where all trusted examples are the same.
    """

    paper = "Feinman, Curtin, Shintre and Gardner, Detecting Adversarial Samples, 2017"
    links = ("https://arxiv.org/abs/1703.00410",)
    known_as = ("kd",)
    assumes = (
        "the features of malicious inputs lie outside those of the class they are called, or "
        "closer together than clean ones ever do"
    )

    seeks: Literal["sparse", "dense", "either"] = "sparse"
    bandwidth: float = 0.0

    def fit(self, view: View) -> State:
        """Keep points [n, d], labels int64[n], width [], and usual [n], their own ln f."""
        points, labels = view.features.float(), view.labels
        if self.bandwidth < 0 or len(labels) < 2:
            raise MethodError(
                "need a bandwidth of at least 0 and 2 trusted examples; found "
                f"{self.bandwidth} and {len(labels)}"
            )
        width = self.bandwidth or _likeliest(points, labels)
        state = {"points": points.clone(), "labels": labels.clone()}
        state["width"] = torch.tensor(width, dtype=torch.float64)
        state["usual"] = _log_density(state, points, labels, itself=True)
        return state

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input, float64[q]."""
        density = _log_density(state, view.features, view.labels, itself=False)
        if self.seeks == "either":
            return two_sided_surprise(density, view.labels, state["usual"], state["labels"])
        return density if self.seeks == "dense" else -density


def _members(known: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    """Which trusted examples each input is compared with, bool[q, n]."""
    own = predicted[:, None] == known
    return own | (own.sum(1, keepdim=True) < 2)


def _log_density(
    state: State, features: torch.Tensor, predicted: torch.Tensor, itself: bool
) -> torch.Tensor:
    """The logarithm of f, float64[q]."""
    parts = []
    for rows, distances in blocks(features, state["points"], itself):
        members = _members(state["labels"], predicted[rows]) & torch.isfinite(distances)
        inside = torch.where(members, -0.5 * (distances / state["width"]).square(), -torch.inf)
        parts.append(inside.logsumexp(1) - members.sum(1).double().log())
    return torch.cat(parts)


def _within(points: torch.Tensor, labels: torch.Tensor) -> Iterator[torch.Tensor]:
    """Give the distances of the examples of each class to what they are compared with.

    That is their class without themselves, or all others where there is none else of it; so memory
    grows with the square of the classes, and not of all.
    """
    for label in labels.unique().tolist():
        rows = (labels == label).nonzero().flatten()
        if len(rows) > 1:
            yield torch.cat([part for _, part in blocks(points[rows], points[rows], itself=True)])
            continue
        (distances,) = (part for _, part in blocks(points[rows], points))
        distances[0, rows] = torch.inf
        yield distances


def _likeliest(points: torch.Tensor, labels: torch.Tensor) -> float:
    """The bandwidth under which trusted examples are most likely, each without itself."""
    apart = list(_within(points, labels))
    finite = torch.cat([distances[torch.isfinite(distances)] for distances in apart])
    middle = float(finite[finite > 0].median()) if bool((finite > 0).any()) else 0.0
    if not middle:
        raise CannotJudge("all trusted examples have the same features: they show no density")
    floor = SMALLEST * middle  # copies would make an infinitely narrow kernel the likeliest
    squares = [distances.clamp_min(floor).square() for distances in apart]
    dimension = points.shape[1]
    tried = torch.logspace(math.log10(0.02), math.log10(2), WIDTHS, dtype=torch.float64) * middle
    likely = [
        sum(float((-0.5 * each / h**2).logsumexp(1).sum()) for each in squares) / len(labels)
        - dimension * math.log(h)
        for h in tried.tolist()
    ]
    return float(tried[max(range(WIDTHS), key=likely.__getitem__)])


SMALLEST = 0.02
"""No two examples count as closer than this share of the median distance."""
