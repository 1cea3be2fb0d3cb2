"""CUBE: examples outside of the largest cluster of their class.

Axes: n examples, c classes, d features, k components, m examples that are kept of a class.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.cluster import HDBSCAN

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.detectors._drawing import drawn_rows
from mithridate.stats.linear import by_class, centre, main_directions

BLOCK = 2048
"""Examples whose distances are held in memory at a time."""


@dataclass(frozen=True)
class Cube(Detector):
    """Score each example by how many of its neighbours lie outside of its class's largest cluster.

    The features of a class are reduced to `components` dimensions and divided by HDBSCAN, which
    finds clusters of any number and shape and leaves some examples outside. s(x) = the share of the
    `neighbours` nearest examples of the class that are in another cluster or in none, plus t / (1 +
    t) / neighbours, with t the distance from the largest cluster over its radius, which orders
    equal shares. Larger is more suspicious. The paper reduces by UMAP, which is not needed here,
    and drops whatever is outside. Classes with fewer examples than two clusters have one, and those
    that were not fitted score 0.

    Attributes:
        components: k, dimensions that the features of a class are reduced to.
        least: fewest examples of a cluster; fewer than this many poisoned ones have none of their
            own.
        neighbours: how many are asked.
        most: m, examples of a class that are clustered; of more some are drawn.
        seed: of the draw.

    Raises:
        MethodError: for settings out of range.
    """

    paper = (
        "Cui et al., A Unified Evaluation of Textual Backdoor Learning: Frameworks and Benchmarks, "
        "NeurIPS 2022 Datasets and Benchmarks"
    )
    links = ("https://arxiv.org/abs/2206.08514",)
    assumes = "poisoned examples of a class form clusters apart from the one that is largest"
    space: ClassVar = {"components": (2, 5, 10, 20), "least": (10, 20, 50, 100)}

    components: int = 10
    least: int = 20  # the paper's 100 would hide a backdoor of one example in a hundred
    neighbours: int = 10
    most: int = 4000
    seed: int = 0

    def fit(self, view: View) -> State:
        """Keep points of each class and whether they are outside of its largest cluster.

        means float64[c, d], bases float64[c, d, k], points float64[r, k], labels int64[r], outside
        bool[r], radius float64[c].
        """
        if min(self.components, self.neighbours, self.most) < 1 or self.least < 2:
            raise MethodError(
                "need at least 1 component, neighbour and example, and clusters of at least 2; "
                f"found {self}"
            )
        features, labels = view.features, view.labels
        classes, d = int(labels.max()) + 1, features.shape[1]
        means = torch.zeros(classes, d, dtype=torch.float64)
        bases = torch.zeros(classes, d, min(self.components, d), dtype=torch.float64)
        radius = torch.ones(classes, dtype=torch.float64)
        points, owners, outside = list[torch.Tensor](), list[torch.Tensor](), list[torch.Tensor]()
        for label, index in by_class(labels, fewest=1):
            rows = features[index]
            rows = rows[drawn_rows(rows, self.most, self.seed, "cube")]
            means[label] = centre(rows)
            basis, _ = main_directions(rows, means[label], bases.shape[2])
            bases[label, :, : basis.shape[1]] = basis
            points.append((rows.double() - means[label]) @ bases[label])
            owners.append(torch.full((len(rows),), label))
            outside.append(self._outside(points[-1]))
            spread = float(points[-1][~outside[-1]].var(0, correction=0).sum().sqrt())
            radius[label] = spread if spread > 0 else 1.0
        return {
            "means": means, "bases": bases, "radius": radius, "points": torch.cat(points),
            "labels": torch.cat(owners), "outside": torch.cat(outside),
        }  # fmt: skip

    def _outside(self, points: torch.Tensor) -> torch.Tensor:
        """Which points float64[m, k] of a class are not in its largest cluster, bool[m].

        They are divided in an order of their own, so that theirs plays no part.
        """
        none = torch.zeros(len(points), dtype=torch.bool)
        scale = float(points.abs().max())
        if len(points) < 2 * self.least or scale == 0:
            return none
        held = (points / scale).numpy()
        order = np.lexsort(held.T)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a default that is to change
            clusters = HDBSCAN(min_cluster_size=self.least).fit_predict(held[order])
        if clusters.max() < 0:
            return none
        none[torch.from_numpy(order)] = torch.from_numpy(
            clusters != np.bincount(clusters[clusters >= 0]).argmax()
        )
        return none

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n]."""
        features, labels = view.features, view.labels
        scores = torch.zeros(len(labels), dtype=torch.float64)
        for label, index in by_class(labels, fewest=1):
            own = (state["labels"] == label).nonzero().flatten()
            for part in index.split(BLOCK) if len(own) else ():
                moved = features[part].double() - state["means"][label]
                far = torch.cdist(moved @ state["bases"][label], state["points"][own])
                outside, radius = state["outside"][own], state["radius"][label]
                nearest = far.topk(min(self.neighbours, len(own)), largest=False).indices
                share = outside[nearest].double().mean(1)
                away = far[:, ~outside].amin(1) / radius
                scores[part] = share + away / (1 + away) / self.neighbours
        return scores
