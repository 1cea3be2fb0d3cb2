"""Local intrinsic dimension: inputs around which trusted examples spread as they usually do not.

Axes: n trusted examples, q inputs, l layers, d channels of a layer, k neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.detectors._activations import Layers, activations, chosen_layers
from mithridate.stats.distances import blocks

NEAREST = 1e-6
"""No neighbour counts as closer than this share of the distance to the k-th."""


@dataclass(frozen=True)
class LocalIntrinsicDimension(Detector):
    """Score inputs by how unusual the dimension of their surroundings is in several layers.

    LID = -1 / mean_i ln(r_i / r_k), with r_i the distance to the i-th nearest of all trusted
    examples. z is ln LID less its mean over trusted examples, each without itself, in standard
    deviations; the score is the mean of z^2 over the layers. The paper computes r within batches
    and weighs the layers by logistic regression on adversarial inputs; a guard has none, so that
    both directions count and all layers alike. Score other inputs than were fitted on: an input is
    its own nearest neighbour.

    Attributes:
        neighbours: k, at most the number of trusted examples less one.

    Raises:
        MethodError: where there are fewer than 2 neighbours or 3 trusted examples.
        CannotJudge: where the model cannot be looked into.
    """

    paper = (
        "Ma et al., Characterizing Adversarial Subspaces Using Local Intrinsic Dimensionality, "
        "ICLR 2018"
    )
    links = ("https://arxiv.org/abs/1801.02613",)
    known_as = ("lid",)
    assumes = (
        "malicious inputs lie off the surface on which clean ones lie, in directions that few "
        "trusted examples share"
    )

    neighbours: int = 20

    def fit(self, view: View) -> State:
        """Keep places int64[l], "points.i" [n, d] of layer i, and mean and spread float64[l]."""
        n = len(view.labels)
        if self.neighbours < 2 or n < 3:
            raise MethodError(
                "need at least 2 neighbours and 3 trusted examples; found "
                f"{self.neighbours} and {n}"
            )
        state: State = {"places": chosen_layers(view)}
        layers = activations(view, state["places"])
        state |= {f"points.{i}": rows.clone() for i, rows in enumerate(layers.pooled)}
        own = self._dimensions(state, layers, itself=True)
        state["mean"] = own.mean(0)
        state["spread"] = own.std(0, correction=0).clamp_min(1e-3)
        return state

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input, float64[q]."""
        dimensions = self._dimensions(state, activations(view, state["places"]), itself=False)
        deviations: torch.Tensor = (dimensions - state["mean"]) / state["spread"]
        return deviations.square().mean(1)

    def _dimensions(self, state: State, layers: Layers, itself: bool) -> torch.Tensor:
        """The logarithm of the LID in each layer, float64[q, l]."""
        columns = []
        for i, rows in enumerate(layers.pooled):
            points = state[f"points.{i}"]
            count = min(self.neighbours, len(points) - 1)
            parts = [
                log_dimension(distances.topk(count, largest=False).values)
                for _, distances in blocks(rows, points, itself)
            ]
            columns.append(torch.cat(parts))
        return torch.stack(columns, 1)


def log_dimension(nearest: torch.Tensor) -> torch.Tensor:
    """Give ln LID from the distances to the nearest points, ascending, float64[q, k] to [q].

    Where all are equal the dimension has no bound; it is then taken for that of a last neighbour a
    millionth further away than the rest.
    """
    last = nearest[:, -1:]
    ratio = torch.where(last > 0, nearest / last.clamp_min(1e-300), 1.0)
    rate = -ratio.clamp_min(NEAREST).log().mean(1)
    return -rate.clamp_min(NEAREST).log()
