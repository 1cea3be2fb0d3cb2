"""The referee: the one home of every metric, and the only reader of both truth and scores.

Axes: n examples, c classes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset, Truth
from mithridate.core.domain import Domain
from mithridate.core.method import Attack
from mithridate.core.runtime import Runtime
from mithridate.core.view import forward
from mithridate.stats.intervals import Interval, proportion
from mithridate.stats.ranking import auroc, tpr_at_fpr


def predict(
    model: nn.Module, data: Dataset, domain: Domain, runtime: Runtime | None = None
) -> torch.Tensor:
    """Give the class that the model calls each example, int64[n]."""
    return forward(model, domain.prepare(data.inputs), runtime or Runtime())[1].argmax(1)


def accuracy(
    model: nn.Module, data: Dataset, domain: Domain, runtime: Runtime | None = None
) -> Interval:
    """Share of examples called by their label, over all classes, with its exact interval."""
    right = predict(model, data, domain, runtime) == data.labels
    return proportion(int(right.sum()), len(data))


def attack_success(
    model: nn.Module,
    attack: Attack,
    test: Dataset,
    domain: Domain,
    rng: np.random.Generator,
    runtime: Runtime | None = None,
) -> Interval:
    """Attack success rate (ASR): share of triggered test inputs called what the attacker wants.

    Inputs whose true label already is the wanted one never count.
    """
    return accuracy(model, attack.trap(test, rng), domain, runtime)


def detection(scores: torch.Tensor, truth: Truth, labels: torch.Tensor) -> dict[str, float]:
    """Judge a ranking of training examples by the truth.

    auroc: over all examples; auroc_in_class: within the classes that hold poison, averaged over
    poisoned examples, for scores that are comparable within a class only; tpr_1, tpr_5: share of
    poison above the threshold that 1 % and 5 % of the clean examples exceed.
    scores: float[n], larger is more suspicious; labels: int64[n] as the defender sees them.
    """
    poisoned = truth.poisoned
    inside, weight = 0.0, 0
    for label in labels[poisoned].unique().tolist():
        rows = labels == label
        hits = int(poisoned[rows].sum())
        if hits < int(rows.sum()):
            inside += auroc(scores[rows], poisoned[rows]) * hits
            weight += hits
    return {
        "auroc": auroc(scores, poisoned),
        "auroc_in_class": inside / weight if weight else float("nan"),
        "tpr_1": tpr_at_fpr(scores, poisoned, 0.01),
        "tpr_5": tpr_at_fpr(scores, poisoned, 0.05),
    }
