"""Activation Clustering: examples on the smaller side when their class is cut in two.

Axes: n examples, c classes, d features, k components.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch

from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.stats.linear import BLOCK, by_class, centre, main_directions

CUTS = (-1.5, 0.0, 1.5)
"""Where the first cuts are made along each component, in standard deviations."""


class Clusters(NamedTuple):
    """How one class falls apart in two.

    Attributes:
        label: of the class.
        share: of its examples in the smaller cluster, near 0.5 in clean classes.
        silhouette: mean silhouette width in -1..1, larger where the two clusters lie further apart.
    """

    label: int
    share: float
    silhouette: float


@dataclass(frozen=True)
class ActivationClustering(Detector):
    """Score each example by how much nearer it is to the smaller of two clusters of its class.

    The features of a class are reduced to `components` dimensions and cut in two by 2-means. With a
    the centre of the larger and b of the smaller cluster the score of z is (|z - a|^2 - |z - b|^2)
    / |a - b|^2: -1 at a, 0 halfway, +1 at b; larger is more suspicious. Classes that were fitted on
    fewer than four examples, or on equal ones, score 0. The rotation that independent component
    analysis adds to whitened principal components leaves all distances and so the clusters
    unchanged; it is not computed. "pca" leaves each component its variance, as other
    implementations do, and sees a small cluster only in the widest directions.

    Attributes:
        components: dimensions that the features of a class are reduced to, at most as many as there
            are.
        reduction: "ica" is the paper's and works on components of unit variance.
    """

    paper = (
        "Chen et al., Detecting Backdoor Attacks on Deep Neural Networks by Activation "
        "Clustering, SafeAI workshop at AAAI 2019"
    )
    links = ("https://arxiv.org/abs/1811.03728",)
    known_as = ("ac",)
    assumes = (
        "poisoned examples form the smaller of two clusters of the features of their class, and "
        "no other division of that class is more distinct"
    )
    space: ClassVar = {"components": (2, 5, 10, 20), "reduction": ("ica", "pca")}
    adapted = "feature-matching"

    components: int = 10
    reduction: Literal["ica", "pca"] = "ica"

    def fit(self, view: View) -> State:
        """Find the plane halfway between the clusters: weights float64[c, d], offsets float64[c].

        The score of features x of class y is weights[y] . x + offsets[y].
        """
        features, labels = view.features, view.labels
        classes = int(labels.max()) + 1
        weights = torch.zeros(classes, features.shape[1], dtype=torch.float64)
        offsets = torch.zeros(classes, dtype=torch.float64)
        for label, index in by_class(labels):
            rows = features.index_select(0, index)
            mean, basis, points = self.reduce(rows)
            smaller = two_means(points)
            if not smaller.any():
                continue
            small, large = points[smaller].mean(0).double(), points[~smaller].mean(0).double()
            gap = (small - large).square().sum()
            weights[label] = basis @ (2 * (small - large) / gap)
            shift = (large.square().sum() - small.square().sum()) / gap
            offsets[label] = shift - torch.dot(mean, weights[label])
        return {"weights": weights, "offsets": offsets}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n]; examples of classes never fitted score 0."""
        features, labels = view.features, view.labels
        scores = torch.zeros(len(labels), dtype=torch.float64)
        for label, index in by_class(labels, fewest=1):
            if label < len(state["weights"]):
                weights, offset = state["weights"][label], state["offsets"][label]
                for part in index.split(BLOCK):
                    rows = features.index_select(0, part).double()
                    scores[part] = torch.mv(rows, weights) + offset
        return scores

    def clusters(self, view: View) -> list[Clusters]:
        """Describe how every class falls apart in two; needs time quadratic in its size.

        Classes of fewer than four examples, or of equal ones, are left out.
        """
        from sklearn.metrics import silhouette_score  # which no scan needs, and takes half a second

        clusters = []
        for label, index in by_class(view.labels):
            points = self.reduce(view.features.index_select(0, index))[2]
            smaller = two_means(points)
            if smaller.any():
                width = float(silhouette_score(points.numpy(), smaller.numpy()))
                clusters.append(Clusters(label, float(smaller.double().mean()), width))
        return clusters

    def reduce(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Reduce the features float[n, d] of one class to what is clustered.

        Gives their mean float64[d], a basis float64[d, k] and the points float32[n, k] in it.
        """
        mean = centre(rows)
        basis, spread = main_directions(rows, mean, self.components)
        if self.reduction == "ica":
            basis = basis / spread
        near, narrow = mean.float(), basis.T.float()
        points = torch.cat([narrow @ (block - near).T for block in rows.split(BLOCK)], 1)
        return mean, basis, points.T


def two_means(points: torch.Tensor, rounds: int = 100) -> torch.Tensor:
    """Cut points in two so that the squared distances to the two centres sum to little.

    Returns bool[n], true in the smaller cluster, nowhere where the points do not differ. Of the
    cuts made by five rounds of Lloyd's algorithm from several planes at right angles to each axis,
    the best one is brought to where at most one point in a thousand still moves. No chance is
    involved and the order of the points plays no part. Lloyd 1982.

    Args:
        points: float[n, k], centred.
    """
    axes = points.T.contiguous()
    if not axes.any():
        return torch.zeros(len(points), dtype=torch.bool)
    spread = axes.square().mean(1, keepdim=True).sqrt()
    cuts = _lloyd(axes, torch.cat([axes > cut * spread for cut in CUTS]), 5)
    best = _between(axes, cuts).argmax()
    cut = _lloyd(axes, cuts[best : best + 1], rounds)[0]
    return cut if 2 * int(cut.sum()) <= len(points) else ~cut


def _lloyd(axes: torch.Tensor, cuts: torch.Tensor, rounds: int) -> torch.Tensor:
    """Move many cuts bool[s, n] of points float[k, n]: each point goes to the nearer centre."""
    for _ in range(rounds):
        first, second = _centres(axes, cuts)
        plane = (first.square().sum(1) - second.square().sum(1)) / 2
        moved = (first - second) @ axes > plane[:, None]
        still = int((moved != cuts).sum()) <= cuts.numel() // 1000
        cuts = moved
        if still:  # the last few points change the sum of squares by less than a millionth
            break
    return cuts


def _centres(axes: torch.Tensor, cuts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The centres float[s, k] inside and outside of each cut; the points sum to zero."""
    inside = cuts.to(axes.dtype)
    sums, counts = inside @ axes.T, inside.sum(1, keepdim=True)
    return sums / counts.clamp_min(1), -sums / (axes.shape[1] - counts).clamp_min(1)


def _between(axes: torch.Tensor, cuts: torch.Tensor) -> torch.Tensor:
    """The sum of squares between the two centres of each cut, float[s]; 0 for an empty side."""
    n, counts = axes.shape[1], cuts.sum(1).to(axes.dtype)
    first, second = _centres(axes, cuts)
    return counts * (n - counts) / n * (first - second).square().sum(1)
