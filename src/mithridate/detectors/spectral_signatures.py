"""Spectral Signatures: examples that lie far along the main direction of their class.

Axes: n examples, c classes, d features.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.stats.linear import (
    BLOCK,
    FEWEST,
    by_class,
    centre,
    main_direction,
    scatter,
    upright,
)


@dataclass(frozen=True)
class SpectralSignatures(Detector):
    """Score each example by its squared shift along the main direction of its class.

    For class y with features R: tau_i = ((R_i - mean) . v)^2, with v the top right singular vector
    of R - mean. Larger is more suspicious. Scores are comparable within a class only; classes that
    were fitted on fewer than four examples score 0.

    Attributes:
        compat: "paper" centres the features, "official" scores |R_i . v| without centring, as the
            published code does, against the published algorithm.
    """

    paper = "Tran, Li and Madry, Spectral Signatures in Backdoor Attacks, NeurIPS 2018"
    links = ("https://arxiv.org/abs/1811.00636",)
    known_as = ("ss", "spectral")
    assumes = (
        "poisoned examples are a minority of their class and differ from it in the direction of "
        "largest variance of the features"
    )
    space: ClassVar = {"compat": ("paper", "official")}
    adapted = "feature-matching"

    compat: Literal["paper", "official"] = "paper"

    def fit(self, view: View) -> State:
        """Find mean and main direction of every class: float64[c, d] each."""
        features, labels = view.features, view.labels
        state = _empty(labels, features.shape[1])
        for label, index in by_class(labels):
            rows = features.index_select(0, index)
            state["means"][label] = mean = centre(rows)
            state["directions"][label] = main_direction(rows, mean)
        return state

    def fit_chunks(self, chunks: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> State:
        """Learn the same as `fit` from a stream of features float[m, d] and labels int64[m].

        One chunk is in memory at a time, beside a matrix float64[d, d] for each class. Score the
        chunks one by one with `score(state, View(features=..., labels=...))`.

        Raises:
            MethodError: where the stream is empty.
        """
        classes: dict[int, _Moments] = {}
        for features, labels in chunks:
            for label, index in by_class(labels, fewest=1):
                if label not in classes:
                    classes[label] = _Moments(features.shape[1])
                classes[label].add(features.index_select(0, index))
        if not classes:
            raise MethodError("there is nothing to fit on: the stream of features is empty")
        width = len(next(iter(classes.values())).mean)
        state = _empty(torch.tensor(list(classes)), width)
        for label, moments in classes.items():
            if moments.count >= FEWEST:
                state["means"][label] = moments.mean
                state["directions"][label] = moments.direction()
        return state

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n]; examples of classes never fitted score 0."""
        features, labels = view.features, view.labels
        scores = torch.zeros(len(labels), dtype=torch.float64)
        for label, index in by_class(labels, fewest=1):
            if label < len(state["directions"]):
                direction = state["directions"][label]
                shift = torch.dot(state["means"][label], direction)
                for part in index.split(BLOCK):
                    along = torch.mv(features.index_select(0, part).double(), direction)
                    official = self.compat == "official"
                    scores[part] = along.abs() if official else (along - shift).square()
        return scores


def _empty(labels: torch.Tensor, width: int) -> State:
    classes = int(labels.max()) + 1
    means = torch.zeros(classes, width, dtype=torch.float64)
    return {"means": means, "directions": torch.zeros_like(means)}


@dataclass
class _Moments:
    """Count, mean and scatter of one class, from rows as they come.

    Two groups are joined by S = S1 + S2 + n1 n2 / (n1 + n2) (m1 - m2)(m1 - m2)', which cancels
    nothing, unlike sums of squares (Chan, Golub and LeVeque 1983).
    """

    width: int
    count: int = 0
    largest: float = 0.0
    mean: torch.Tensor = field(init=False)
    scatter: torch.Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.mean = torch.zeros(self.width, dtype=torch.float64)
        self.scatter = torch.zeros(self.width, self.width, dtype=torch.float64)

    def add(self, rows: torch.Tensor) -> None:
        mean, more = centre(rows), len(rows)
        shift, total = mean - self.mean, self.count + more
        self.scatter += scatter(rows, mean)
        self.scatter.addr_(shift, shift, alpha=self.count * more / total)
        self.mean += shift * (more / total)
        self.count = total
        self.largest = max(self.largest, float(rows.abs().max()))

    def direction(self) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(self.scatter)
        spread = float(values[-1].clamp_min(0) / self.count) ** 0.5
        if spread <= 1e-6 * self.largest:  # below the resolution of 32-bit features
            return torch.zeros_like(self.mean)
        return upright(vectors[:, -1])
