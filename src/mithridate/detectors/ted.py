"""Topological evolution: inputs whose neighbours change from layer to layer as clean ones' do not.

Axes: n trusted examples, q inputs, l layers, d channels of a layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.detectors._activations import Layers, activations, chosen_layers
from mithridate.stats.distances import SAME, blocks

FEWEST = 3
"""Fewer examples show no variation of the ranks."""


@dataclass(frozen=True)
class Ted(Detector):
    """Score inputs by how their rank among their class evolves over the layers (TED).

    In each layer all trusted examples are ordered by their distance from the input, and the rank is
    the share that is nearer than the nearest of the class that the model gives. The ranks of an
    input over the layers form a vector u; with m and C its mean and covariance over trusted
    examples, each judged without itself, the score is (u - m)' C^-1 (u - m). The score is that of
    outliers by principal components as in the paper, with all components. The paper looks at every
    layer in full; here at most six are looked at, pooled (`activations.py`). As in the paper,
    trusted examples that the model gets wrong are left out, unless fewer than 3 are left. An input
    called a class that no trusted example is called has rank 1 everywhere. Score other inputs than
    were fitted on: an input is its own nearest neighbour.

    Raises:
        MethodError: where there are fewer than 3 trusted examples.
        CannotJudge: where the model cannot be looked into.
    """

    paper = (
        "Mo et al., Robust Backdoor Detection for Deep Learning via Topological Evolution "
        "Dynamics, IEEE S&P 2024"
    )
    links = ("https://arxiv.org/abs/2312.02673",)
    assumes = (
        "early layers place triggered inputs with their true class, so that examples of the class "
        "they are called draw near later than for clean inputs"
    )

    def fit(self, view: View) -> State:
        """Keep the trusted examples of each layer and how their ranks vary.

        State: places int64[l], called int64[n], mean [l], root [l, l], "points.i" [n, d].
        The n examples are those that the model calls by their labels.
        """
        if len(view.labels) < FEWEST:
            raise MethodError(f"need at least {FEWEST} trusted examples, found {len(view.labels)}")
        state: State = {"places": chosen_layers(view)}
        layers = activations(view, state["places"])
        right = layers.logits.argmax(1) == view.labels
        if int(right.sum()) >= FEWEST:
            layers = Layers([rows[right] for rows in layers.pooled], layers.logits[right])
        state["called"] = layers.logits.argmax(1)
        state |= {f"points.{i}": rows.clone() for i, rows in enumerate(layers.pooled)}
        own = _ranks(state, layers, itself=True)
        state["mean"] = own.mean(0)
        centred = own - state["mean"]
        values, vectors = torch.linalg.eigh(centred.T @ centred / len(own))
        state["root"] = vectors * values.clamp_min(1 / len(own) ** 2).rsqrt()
        return state

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input, float64[q]."""
        ranks = _ranks(state, activations(view, state["places"]), itself=False)
        white: torch.Tensor = (ranks - state["mean"]) @ state["root"]
        return white.square().sum(1)


def _ranks(state: State, layers: Layers, itself: bool) -> torch.Tensor:
    """The rank of the nearest of the same class in each layer, float64[q, l] from 0 to 1."""
    predicted, columns = layers.logits.argmax(1), []
    for i, rows in enumerate(layers.pooled):
        parts = [
            rank(distances, predicted[index, None] == state["called"])
            for index, distances in blocks(rows, state[f"points.{i}"], itself)
        ]
        columns.append(torch.cat(parts))
    return torch.stack(columns, 1)


def rank(distances: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
    """Give the share of points nearer than the nearest of the same class, float64[q].

    Points at the same distance count by half; without any of the class the rank is 1.

    Args:
        distances: float64[q, n], infinite for a point that does not count.
        same: bool[q, n].
    """
    first = torch.where(same, distances, torch.inf).amin(1, keepdim=True)
    others = torch.isfinite(distances) & ~same
    slack = SAME * first
    nearer = (others & (distances < first - slack)).double().sum(1)
    tied = (others & ((distances - first).abs() <= slack)).double().sum(1)
    share = (nearer + tied / 2) / torch.isfinite(distances).sum(1).clamp_min(1)
    return torch.where(torch.isinf(first[:, 0]), 1.0, share)
