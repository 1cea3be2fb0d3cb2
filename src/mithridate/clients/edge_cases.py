"""Attackers who need no trigger: rare inputs, as they are, get another label.

Axes: n examples, d numbers of an input, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from mithridate.core.clients import ClientAttack
from mithridate.core.data import Dataset, Poisoned, leave_untouched
from mithridate.core.errors import MethodError
from mithridate.core.method import State
from mithridate.core.runtime import Runtime


@dataclass(frozen=True)
class EdgeCases(ClientAttack):
    """Give the rarest inputs of every other class the label that the attacker wants.

    An input is rare where its distance |x - mean_y| from the mean of its class, in raw numbers, is
    above the 1 - share quantile of the attacker's own examples of the class. Few honest clients
    have such inputs, so nobody unlearns what they are called. The paper takes them from another
    data set; this takes them from the tail of the same.

    Attributes:
        target: the label that rare inputs get, by its number.
        share: of each class that counts as rare, in (0, 1).
    """

    paper = (
        "Wang et al., Attack of the Tails: Yes, You Really Can Backdoor Federated Learning, "
        "NeurIPS 2020"
    )
    links = ("https://arxiv.org/abs/2007.05084",)

    target: int = 0
    share: float = 0.1

    def learn(
        self, data: Dataset, rng: np.random.Generator, runtime: Runtime | None = None
    ) -> State:
        """Learn the mean of each class, and from which distance on an input is rare.

        Raises:
            MethodError: where a setting is out of range, or inputs are no numbers.
        """
        if not 0 < self.share < 1 or not 0 <= self.target < len(data.classes):
            raise MethodError(
                f"expected share in (0, 1) and target in 0..{len(data.classes) - 1}, found "
                f"share={self.share}, target={self.target}"
            )
        flat = _numbers(data)
        means = torch.zeros(len(data.classes), flat.shape[1])
        beyond = torch.full((len(data.classes),), torch.inf)
        for label in data.labels.unique().tolist():
            mine = flat[data.labels == label]
            means[label] = mine.mean(0)
            beyond[label] = (mine - means[label]).norm(dim=1).quantile(1 - self.share)
        return {"means": means, "beyond": beyond}

    def poison(
        self, data: Dataset, client: int, rng: np.random.Generator, state: State | None = None
    ) -> Poisoned:
        """Relabel what is rare; the inputs stay as they are."""
        rare = self._rare(data, state)
        labels = torch.where(rare, self.target, data.labels)
        truth = replace(leave_untouched(data).truth, poisoned=rare)
        return Poisoned(replace(data, labels=labels), truth)

    def triggered_test(
        self, data: Dataset, rng: np.random.Generator, state: State | None = None
    ) -> Dataset:
        """Give the rare test inputs with the wanted label.

        Raises:
            MethodError: where nothing was learnt, or no test input is rare.
        """
        rare = self._rare(data, state)
        if not bool(rare.any()):
            raise MethodError("the test data hold no input that is rare in its class; give more")
        rows = data.subset(rare)
        return replace(rows, labels=torch.full_like(rows.labels, self.target))

    def _rare(self, data: Dataset, state: State | None) -> torch.Tensor:
        """Which inputs of other classes are rare, bool[n]."""
        if not state:
            raise MethodError(f"{self.name()} must learn first: state = attack.learn(data, rng)")
        far = (_numbers(data) - state["means"][data.labels]).norm(dim=1)
        rare: torch.Tensor = (far > state["beyond"][data.labels]) & (data.labels != self.target)
        return rare


def _numbers(data: Dataset) -> torch.Tensor:
    """The inputs as numbers, float32[n, d]."""
    if not isinstance(data.inputs, torch.Tensor):
        raise MethodError(
            "what is rare among such inputs is not told by their numbers; give another attack"
        )
    numbers: torch.Tensor = data.inputs.flatten(1).float()
    return numbers
