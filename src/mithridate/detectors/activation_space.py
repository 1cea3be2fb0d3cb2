"""Activation spaces: inputs that change class from layer to layer as clean ones do not.

Axes: n trusted examples, q inputs, c classes, l layers, p directions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.detectors._activations import Layers, activations, chosen_layers
from mithridate.stats.distances import blocks, votes
from mithridate.stats.linear import centre, main_directions
from mithridate.stats.two_sided import two_sided_surprise


@dataclass(frozen=True)
class ActivationSpace(Detector):
    """Score inputs by how unlikely their switches of class from layer to layer are.

    In every layer the k nearest trusted examples, along the widest directions, vote on the class.
    s_i = 1 - sum_c v_i(c) v_{i+1}(c) is the switch from a layer to the next, v the shares of the
    votes; the last v is the class that the model gives. With P_i the mean switch of trusted
    examples, each judged without itself, L = sum_i s_i ln P_i + (1 - s_i) ln(1 - P_i) and the score
    is -L, L, or how unusual L is in its class, in either direction (`two_sided.py`). Where the
    model errs often, clean inputs switch more than triggered ones do: seek "likely". With votes of
    one voice this is the paper's likelihood; shares are kept where the paper takes the majority,
    since a few layers of 0 and 1 give hundreds of inputs the same score. The paper looks at every
    layer, here at most six (`activations.py`).

    Attributes:
        components: directions kept of each layer.
        neighbours: k, trusted examples that an answer is taken from.
        seeks: "unlikely" switches, as in the paper, "likely" ones, or "either".

    Raises:
        MethodError: where a number is not positive or there are fewer than 2 trusted examples.
        CannotJudge: where the model cannot be looked into.
    """

    paper = (
        "Katzir and Elovici, Detecting Adversarial Perturbations Through Spatial Behavior in "
        "Activation Spaces, 2018"
    )
    links = ("https://arxiv.org/abs/1811.09043",)
    assumes = (
        "early layers place malicious inputs with their true class and late ones with another, at "
        "a depth where clean inputs rarely switch"
    )

    components: int = 30
    neighbours: int = 5
    seeks: Literal["unlikely", "likely", "either"] = "unlikely"

    def fit(self, view: View) -> State:
        """Keep the directions and the places of trusted examples in each layer, and P.

        State: places int64[l], labels int64[n], switch float64[l], usual and called [n]: L
        and the answer of trusted examples; of layer i "mean.i" [d], "axes.i" [d, p], "points.i"
        [n, p].
        """
        n = len(view.labels)
        if self.components < 1 or self.neighbours < 1 or n < 2:
            raise MethodError(
                "need at least 1 component, 1 neighbour and 2 trusted examples; found "
                f"{self.components}, {self.neighbours} and {n}"
            )
        state: State = {"places": chosen_layers(view), "labels": view.labels.clone()}
        layers = activations(view, state["places"])
        for i, rows in enumerate(layers.pooled):
            mean = centre(rows)
            axes = main_directions(rows, mean, self.components)[0]
            state |= {f"mean.{i}": mean, f"axes.{i}": axes}
            state[f"points.{i}"] = (rows.double() - mean) @ axes
        switches = self._switches(state, layers, itself=True)
        state["switch"] = (switches.mean(0) * n + 0.5) / (n + 1)
        state["usual"] = _likelihood(switches, state["switch"])
        return {**state, "called": layers.logits.argmax(1)}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input, float64[q]."""
        layers = activations(view, state["places"])
        likely = _likelihood(self._switches(state, layers, itself=False), state["switch"])
        if self.seeks == "either":
            predicted = layers.logits.argmax(1)
            return two_sided_surprise(likely, predicted, state["usual"], state["called"])
        return likely if self.seeks == "likely" else -likely

    def _switches(self, state: State, layers: Layers, itself: bool) -> torch.Tensor:
        """How much the votes change from each layer to the next, float64[q, l]."""
        classes = max(layers.logits.shape[1], int(state["labels"].max()) + 1)
        predicted = F.one_hot(layers.logits.argmax(1), classes).double()
        heard = [self._votes(state, i, rows, itself, classes) for i, rows in _each(layers)]
        following = [*heard[1:], predicted]
        pairs = zip(heard, following, strict=True)
        return torch.stack([1 - (now * after).sum(1) for now, after in pairs], 1).clamp(0, 1)

    def _votes(
        self, state: State, layer: int, rows: torch.Tensor, itself: bool, classes: int
    ) -> torch.Tensor:
        """The shares of the votes in one layer, float64[q, c]."""
        queries = (rows.double() - state[f"mean.{layer}"]) @ state[f"axes.{layer}"]
        points, labels = state[f"points.{layer}"], state["labels"]
        neighbours = blocks(queries, points, itself)
        return torch.cat([votes(d, labels, classes, self.neighbours) for _, d in neighbours])


def _likelihood(switches: torch.Tensor, usual: torch.Tensor) -> torch.Tensor:
    """The log-likelihood of switches float64[q, l] under their usual rates [l], float64[q]."""
    return (switches * usual.log() + (1 - switches) * (-usual).log1p()).sum(1)


def _each(layers: Layers) -> list[tuple[int, torch.Tensor]]:
    return list(enumerate(layers.pooled))
