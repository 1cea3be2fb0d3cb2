"""IBD-PSC: inputs that keep their class when the last normalisations are amplified.

Axes: n examples, c classes, l normalisation layers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.inference import logits_of, predict
from mithridate.core.method import Detector, State
from mithridate.core.view import View


@dataclass(frozen=True)
class IbdPsc(Detector):
    """Score each input by the confidence in its class that amplified copies of the model keep.

    s = (1/|K|) sum_{j in K} p_j(C(x) | x), where C is the model's answer and p_j that of a copy
    whose last j batch normalisations have scale and shift multiplied by `factor`; K = {k, ..., k +
    copies - 1}, with k the smallest number whose copy errs on more than `threshold` of the trusted
    inputs. Larger is more suspicious. All are the paper's, for networks with about twenty layers;
    one with few layers or wide margins errs too little, and needs a larger factor. The layers are
    counted in the order in which they are run. The model itself is left untouched.

    Attributes:
        factor: by which the parameters are amplified.
        copies: how many amplified networks are asked, fewer where the model has no more layers.
        threshold: the share of trusted inputs that the least amplified of them errs on.

    Raises:
        MethodError: where a setting is out of range.
        CannotJudge: where the model has no batch normalisation of its own, or amplifying all of it
            does not make it err enough.
    """

    paper = (
        "Hou et al., IBD-PSC: Input-level Backdoor Detection via Parameter-oriented Scaling "
        "Consistency, ICML 2024"
    )
    links = ("https://arxiv.org/abs/2405.09786",)
    assumes = (
        "triggered inputs are classified with a margin that survives amplified weights, and the "
        "model has batch normalisation with scale and shift"
    )
    space: ClassVar = {"factor": (1.2, 1.5, 2.0), "threshold": (0.4, 0.6, 0.8)}

    factor: float = 1.5
    copies: int = 5
    threshold: float = 0.6

    def fit(self, view: View) -> State:
        """Find k by the errors on trusted inputs and their labels: {"first": int64[]}."""
        if self.factor <= 1 or self.copies < 1 or not 0 < self.threshold < 1:
            raise MethodError(
                "need a factor above 1, at least 1 copy and a threshold between 0 and 1; found "
                f"{self.factor}, {self.copies} and {self.threshold}"
            )
        prepared, most = view.domain.prepare(view.inputs), 0.0
        for number, amplified in enumerate(self._amplified(view), 1):
            wrong = predict(amplified, prepared, view.runtime, view.precision)
            most = max(most, float((wrong != view.labels).double().mean()))
            if most > self.threshold:
                return {"first": torch.tensor(number)}
        raise CannotJudge(
            f"amplifying every normalisation by {self.factor} makes the model err on at most "
            f"{most:.2f} of the trusted inputs, not on more than {self.threshold}; choose a larger "
            "factor or a guard that only asks the model"
        )

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input by one pass through the model and one through each copy, float64[n]."""
        prepared, first = view.domain.prepare(view.inputs), int(state["first"])
        predicted = predict(view.model, prepared, view.runtime, view.precision)
        kept = []
        for number, amplified in enumerate(self._amplified(view), 1):
            if number >= first + self.copies:
                break
            if number >= first:
                logits = logits_of(amplified, prepared, view.runtime, view.precision)
                shares = logits.double().softmax(1)
                kept.append(shares.gather(1, predicted.view(-1, 1)).flatten())
        return torch.stack(kept).mean(0)

    def _amplified(self, view: View) -> Iterator[nn.Module]:
        """Copies of the model with the last one, two, ... normalisations amplified.

        It is one copy, which is changed further after it was used.
        """
        model = copy.deepcopy(view.model)
        layers = ordered_normalisations(model, view)
        if not layers:
            raise CannotJudge(
                "the model has no batch normalisation with scale and shift to amplify, or it was "
                "folded into other layers; use a guard that only asks the model"
            )
        for layer in reversed(layers):
            with torch.no_grad():
                layer.weight.mul_(self.factor)
                layer.bias.mul_(self.factor)
            yield model


def ordered_normalisations(model: nn.Module, view: View) -> list[_BatchNorm]:
    """Batch normalisations that have scale and shift, in the order in which they are run."""
    layers: list[_BatchNorm] = []

    def note(layer: nn.Module, _: object) -> None:
        if isinstance(layer, _BatchNorm) and layer.affine and layer not in layers:
            layers.append(layer)

    hooks = [
        layer.register_forward_pre_hook(note)
        for layer in model.modules()
        if isinstance(layer, _BatchNorm)
    ]
    try:
        if hooks:
            logits_of(model, view.blank, view.runtime, view.precision)
    finally:
        for hook in hooks:
            hook.remove()
    return layers
