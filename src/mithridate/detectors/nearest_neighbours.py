"""Nearest neighbours: examples whose neighbours in feature space carry other labels.

Axes: n fitted examples, q queries, d features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.stats.linear import FEWEST, by_class, centre

SAME = 2e-6
"""Squared distances below this share of the squared length are rounding: no distance at all."""

ENTRIES = 2**24
"""Distances held in memory at a time: 64 MB."""


@dataclass(frozen=True)
class NearestNeighbours(Detector):
    """Score each example by the share of its nearest neighbours that carry another label.

    s = (m + r) / (k + 1), with m of the k nearest other examples labelled differently and r = a /
    (a + b) in 0..1, a and b the distances to the nearest example of the same and of another label.
    Larger is more suspicious. Neighbours at equal distances count in equal parts, so that no order
    matters. One fitted example of the same label at no distance is taken for the example itself and
    left out. k is at most one less than the class has examples; classes that were fitted on fewer
    than four score 0.

    Attributes:
        k: number of neighbours.
        metric: "cosine" compares directions, "euclidean" also lengths.
    """

    paper = (
        "Cover and Hart, Nearest Neighbor Pattern Classification, 1967; against poisoning: Peri et "
        "al., Deep k-NN Defense Against Clean-Label Data Poisoning Attacks, ECCV workshops 2020"
    )
    links = ("https://doi.org/10.1109/TIT.1967.1053964", "https://arxiv.org/abs/1909.13374")
    known_as = ("knn", "deep-knn")
    assumes = (
        "poisoned examples keep features like those of their true class and stay scattered among "
        "it; where the trigger gathers them in a group of their own, larger than k, they vouch for "
        "each other and are not seen"
    )
    space: ClassVar = {"k": (3, 10, 30, 100), "metric": ("cosine", "euclidean")}
    adapted = "feature-matching"

    k: int = 10
    metric: Literal["cosine", "euclidean"] = "cosine"

    def fit(self, view: View) -> State:
        """Keep the features float32[n, d] and labels int64[n], in the order of the labels.

        Raises:
            MethodError: where k is less than one.
        """
        if self.k < 1:
            raise MethodError(f"k must be at least 1 neighbour, found {self.k}")
        order = torch.argsort(view.labels, stable=True)
        mean = centre(view.features).float()
        points = self._place(view.features.index_select(0, order), mean)
        return {"points": points, "labels": view.labels[order], "mean": mean}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example exactly, float64[q]; time n q d, memory bounded.

        Examples of classes never fitted score 0.
        """
        scores = torch.zeros(len(view.labels), dtype=torch.float64)
        lengths = state["points"].square().sum(1)
        block = max(1, ENTRIES // len(lengths))
        for label, index in by_class(view.labels, fewest=1):
            first, last = torch.searchsorted(state["labels"], torch.tensor([label, label + 1]))
            if last - first < FEWEST:
                continue
            count = min(self.k, int(last - first) - 1)
            for part in index.split(block):
                rows = self._place(view.features.index_select(0, part), state["mean"])
                products = torch.addmm(lengths, rows, state["points"].T, alpha=-2)
                own, other = _nearest(products, int(first), int(last), count)
                scores[part] = _score(own, other, rows.square().sum(1, keepdim=True), count)
        return scores

    def _place(self, features: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
        """Put features where the squared distance between two rows is what the metric compares."""
        if self.metric == "cosine":
            return F.normalize(features.float(), dim=1)
        return features.float() - mean  # near the origin, where less is lost to rounding


def _nearest(
    distances: torch.Tensor, first: int, last: int, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The smallest of float32[q, n] in columns first..last and elsewhere, each ascending.

    Returns [q, count + 1] and [q, count]; where there are too few, infinity. Overwrites its input.
    """
    own = distances[:, first:last].topk(count + 1, largest=False).values
    distances[:, first:last] = torch.inf
    enough = min(count, distances.shape[1])
    other = distances.topk(enough, largest=False).values
    return own, F.pad(other, (0, count - enough), value=torch.inf)


def _score(
    own: torch.Tensor, other: torch.Tensor, lengths: torch.Tensor, count: int
) -> torch.Tensor:
    """Score from squared distances to own [q, k + 1] and to other labels [q, k], float64[q].

    The distances lack the queries' own squared lengths [q, 1], which are added here.
    """
    same = SAME * lengths
    own, other = (torch.where(d + lengths > same, d + lengths, 0.0) for d in (own, other))
    own = torch.where(own[:, :1] == 0, own[:, 1:], own[:, :-1])
    edge = torch.cat([own, other], 1).kthvalue(count, 1, keepdim=True).values
    inside_own, inside_other = (own < edge - same).sum(1), (other < edge - same).sum(1)
    tied_own, tied_other = ((d - edge).abs().le(same).sum(1) for d in (own, other))
    left = count - inside_own - inside_other
    strangers = inside_other + left * tied_other.double() / (tied_own + tied_other)
    a, b = own[:, 0].double().sqrt(), other[:, 0].double().sqrt()
    ratio = torch.where(torch.isinf(b), 0.0, a / (a + b))
    return (strangers + torch.where(a + b == 0, 0.5, ratio)) / (count + 1)
