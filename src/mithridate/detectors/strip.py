"""STRIP: inputs that are still called the same with other inputs laid over them.

Axes: n examples, m overlays, c classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.streams import stream, torch_generator
from mithridate.core.view import View
from mithridate.detectors._drawing import check_form, drawn

COPIES = 2048
"""Mixtures that are held in memory at a time."""


@dataclass(frozen=True)
class Strip(Detector):
    """Score each input by how sure the model stays when trusted inputs are laid over it.

    s = -(1/m) sum_k H(p(mix(x, o_k))), with H(p) = -sum_c p_c log2 p_c the entropy in bits and o_k
    trusted inputs. A trigger that survives the mixing keeps the answer certain, so a small entropy
    is suspicious and the score, its negative, is large. The paper takes 100 overlays; 16 cost a
    sixth, and on six small networks of CIFAR-10 the AUROC of 8 and 16 differed by 0.04 at most.

    Attributes:
        overlays: m, how many trusted inputs are laid over each input, the same for all; fewer were
            fitted, then all.
        seed: of their choice and of the mixing.

    Raises:
        MethodError: where there is no overlay, or inputs have another form than those fitted.
    """

    paper = (
        "Gao et al., STRIP: A Defence Against Trojan Attacks on Deep Neural Networks, ACSAC 2019"
    )
    links = ("https://arxiv.org/abs/1902.06531",)
    assumes = (
        "the trigger is obeyed wherever it appears and remains visible under a second input, while "
        "an ordinary input loses its class"
    )
    space: ClassVar = {"overlays": (8, 16, 32, 64, 100)}

    overlays: int = 16
    seed: int = 0

    def fit(self, view: View) -> State:
        """Draw the overlays from trusted inputs."""
        if self.overlays < 1:
            raise MethodError(f"overlays must be at least 1, found {self.overlays}")
        prepared = view.domain.prepare(view.inputs)
        return {"overlays": drawn(prepared, self.overlays, self.seed, "strip")}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input by m questions to the model, float64[n]."""
        ask, domain, overlays = view.queries, view.domain, state["overlays"]
        prepared = domain.prepare(view.inputs)
        check_form(prepared, overlays)
        scores = []
        for block in prepared.split(max(1, COPIES // len(overlays))):
            mixed = [
                domain.mix(block, other.expand_as(block), torch_generator(self._stream(number)))
                for number, other in enumerate(overlays)
            ]
            scores.append(-entropy(ask(torch.cat(mixed))).view(len(overlays), -1).mean(0))
        return torch.cat(scores)

    def _stream(self, number: int) -> np.random.Generator:
        return stream(self.seed, "strip", number)


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """The entropy of the answers in bits, float64[n], 0 to log2 c. logits: float[n, c]."""
    shares = logits.double().log_softmax(1)
    return -(shares.exp() * shares).sum(1) / math.log(2)
