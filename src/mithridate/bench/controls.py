"""The control that knows everything; only the referee can build it.

Axes: n examples.
"""

from __future__ import annotations

from typing import Any

import torch

from mithridate.core.data import Truth
from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View


class Oracle(Detector):
    """Control that is told the truth: its AUROC is 1, or whatever measures it is broken.

    It is no dataclass, so that no registry, command line or sweep can offer it.

    Args:
        truth: about the very examples that will be scored, in their order.
    """

    assumes = "that it is told the truth"

    def __init__(self, truth: Truth) -> None:
        self.truth = truth

    def config(self) -> dict[str, Any]:
        """The name alone: the truth is no setting."""
        return {"method": self.name()}

    def fit(self, view: View) -> State:
        """Nothing is learnt."""
        return {}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score poisoned examples 1 and others 0, float64[n].

        Raises:
            MethodError: where the truth is about another number of examples.
        """
        expected, given = len(self.truth.poisoned), len(view.labels)
        if expected != given:
            raise MethodError(
                f"the truth is about {expected} examples, but {given} are to be scored; "
                "give the view that the truth belongs to"
            )
        return self.truth.poisoned.double()
