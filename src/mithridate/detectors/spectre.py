"""SPECTRE: examples that stand out once their class is whitened by a robust covariance.

Axes: n examples of one class, c classes, d features, k directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.stats.linear import BLOCK, by_class, centre, resolution, scatter
from mithridate.stats.robust_covariance import covariance, robust_subset, whitening

ALPHA = 4.0
"""How strongly directions of excess variance are preferred; the paper's value."""


@dataclass(frozen=True)
class Spectre(Detector):
    """Score each example by quantum entropy after whitening its class by a robust covariance.

    For each class and each number k of main directions: find the examples whose covariance looks
    like that of one Gaussian, whiten all examples by it, z_i, and score z_i' M z_i, where M is
    exp(4 (S - I) / (|S| - 1)) with trace 1 and S the covariance of the z_i. Of all k, spaced like
    squares up to `directions`, the one is taken that makes the rest of the class look worst after
    1.5 times the largest share was left out. Larger is more suspicious. Classes that were fitted on
    fewer than four examples, or on equal ones, score 0. The paper is told the true number.

    Attributes:
        largest_share: upper bound on the poisoned share of a class; how much the robust covariance
            may leave out follows from it, at most twice the share.
        directions: the largest k, at most the number of features.
    """

    paper = "Hayase, Kong, Somani and Oh, SPECTRE, ICML 2021"
    links = ("https://arxiv.org/abs/2104.11315",)
    assumes = (
        "poisoned examples are at most the largest share of their class, the others are spread "
        "like a Gaussian, and the two differ in the directions of largest variance"
    )
    space: ClassVar = {"largest_share": (0.05, 0.1, 0.2, 0.4), "directions": (25, 100)}
    adapted = "feature-matching"

    largest_share: float = 0.1
    directions: int = 100

    def fit(self, view: View) -> State:
        """Find the mean float64[c, d] of every class and a map float64[c, d, k].

        The score of features x of class y is |maps[y]' (x - means[y])|^2.

        Raises:
            MethodError: where the largest share does not lie between 0 and 0.5.
        """
        if not 0 < self.largest_share <= 0.5:
            raise MethodError(
                "the largest share of a class that may be poisoned must lie between 0 and 0.5, "
                f"found {self.largest_share}"
            )
        features, labels = view.features, view.labels
        classes = int(labels.max()) + 1
        means = torch.zeros(classes, features.shape[1], dtype=torch.float64)
        maps = torch.zeros(*means.shape, self.directions, dtype=torch.float64)
        for label, index in by_class(labels):
            rows = _sort_rows(features.index_select(0, index))
            means[label] = mean = centre(rows)
            values, vectors = torch.linalg.eigh(scatter(rows, mean))
            wide = (values / len(rows)).clamp_min(0).sqrt() > resolution(mean)
            basis = vectors[:, wide].flip(1)[:, : min(self.directions, len(rows) // 2)]
            if basis.shape[1]:
                points = torch.cat([(block - mean) @ basis for block in rows.double().split(BLOCK)])
                chosen = best_map(points, self.largest_share)
                maps[label, :, : chosen.shape[1]] = basis[:, : len(chosen)] @ chosen
        return {"means": means, "maps": maps}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n]; examples of classes never fitted score 0."""
        features, labels = view.features, view.labels
        scores = torch.zeros(len(labels), dtype=torch.float64)
        for label, index in by_class(labels, fewest=1):
            if label < len(state["maps"]):
                for part in index.split(BLOCK):
                    rows = features.index_select(0, part).double() - state["means"][label]
                    scores[part] = (rows @ state["maps"][label]).square().sum(1)
        return scores


def best_map(points: torch.Tensor, share: float) -> torch.Tensor:
    """Choose the number of directions, and give the map float64[k, k] of the scores.

    Scores are |z' map|^2.

    Args:
        points: float64[n, K], centred, in order of falling variance.
    """
    n, most = points.shape
    removed = min(round(1.5 * share * n), n - 2)
    best, chosen = -math.inf, points.new_zeros(1, 1)
    for k in sorted({round(root**2) for root in np.linspace(1, math.sqrt(most), 10)}):
        kept = robust_subset(points[:, :k], share)
        candidate = _map(points[:, :k], kept)
        scores = (points[:, :k] @ candidate).square().sum(1)
        rest = scores <= scores.sort().values[n - removed - 1]
        whitened = points @ whitening(covariance(points[rest]))
        spread = covariance(whitened)
        quality = float((spread * entropy_weights(spread)).sum())
        if quality > best:
            best, chosen = quality, candidate
    return chosen


def entropy_weights(matrix: torch.Tensor) -> torch.Tensor:
    """Give exp(alpha (S - I) / (|S| - 1)) / trace for a covariance S, float64[k, k].

    Directions of excess variance weigh more, none alone (Dong, Hopkins and Li 2019).
    """
    values, vectors = torch.linalg.eigh(matrix)
    excess = float(values[-1]) - 1
    weights = torch.exp(ALPHA * (values - 1) / excess) if excess > 1e-9 else torch.ones_like(values)
    product: torch.Tensor = (vectors * (weights / weights.sum())) @ vectors.T
    return product


def _map(points: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The map whose squared length is the score: whitening, then the root of the weights."""
    whiten = whitening(covariance(points[kept]))
    values, vectors = torch.linalg.eigh(entropy_weights(covariance(points @ whiten)))
    root: torch.Tensor = whiten @ vectors * values.clamp_min(0).sqrt()
    return root


def _sort_rows(rows: torch.Tensor) -> torch.Tensor:
    """Sort rows by what they hold, so that the filter cannot depend on how they were given."""
    return rows[torch.argsort(rows.double().sum(1))]
