"""The referee: the one home of every metric, and the only reader of both truth and scores.

Axes: n examples, c classes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.data import Dataset, Truth
from mithridate.core.domain import Domain
from mithridate.core.inference import correct, logits_of
from mithridate.core.method import Attack, State
from mithridate.core.runtime import Runtime
from mithridate.stats.intervals import Interval, proportion
from mithridate.stats.ranking import auroc, auroc_interval, tpr_at_fpr


def accuracy(
    model: nn.Module, data: Dataset, domain: Domain, runtime: Runtime | None = None
) -> Interval:
    """Share of examples called by their label, over all classes, with its exact interval."""
    right = correct(model, data, domain, runtime)
    return proportion(int(right.sum()), len(right))


def _share_as_labelled(predicted: torch.Tensor, data: Dataset) -> Interval:
    """Share of examples called by their label: accuracy on test data, ASR on triggered ones."""
    return proportion(int((predicted == data.labels).sum()), len(data))


def attack_success(
    model: nn.Module,
    attack: Attack,
    test: Dataset,
    domain: Domain,
    rng: np.random.Generator,
    runtime: Runtime | None = None,
    state: State | None = None,
) -> Interval:
    """Attack success rate (ASR): share of triggered test inputs called what the attacker wants.

    Inputs whose true label already is the wanted one never count.

    Args:
        state: what the attack learnt.
    """
    return accuracy(model, attack.triggered_test(test, rng, state), domain, runtime)


class Answers(NamedTuple):
    """What a network made of a data set: called int64[n], losses float64[n] by the labels given."""

    predicted: torch.Tensor
    losses: torch.Tensor


def answers(
    model: nn.Module, data: Dataset, domain: Domain, runtime: Runtime, precision: str = "bf16"
) -> Answers:
    """Ask a network about every example."""
    logits = logits_of(model, domain.prepare(data.inputs), runtime, precision).double()
    return Answers(logits.argmax(1), F.cross_entropy(logits, data.labels, reduction="none"))


def find_recovered(predicted: torch.Tensor, triggered_test: Dataset, test: Dataset) -> torch.Tensor:
    """Tell which triggered inputs are called by their true label, bool[k]."""
    place = torch.full((int(test.ids.max()) + 1,), -1)
    place[test.ids] = torch.arange(len(test))
    return predicted == test.labels[place[triggered_test.ids]]


def score_answers(
    clean: Answers, under: Answers, test: Dataset, triggered_test: Dataset
) -> dict[str, dict[str, Any]]:
    """Give clean accuracy, ASR and R-Acc with exact intervals, and accuracy and loss by class.

    asr: attack success rate, see `attack_success`; r_accuracy: share of the same triggered inputs
    that are called by their true label.
    """
    right = clean.predicted == test.labels
    back = find_recovered(under.predicted, triggered_test, test)
    rows = [test.labels == label for label in range(len(test.classes))]
    return {
        "metrics": {
            "accuracy": _share_as_labelled(clean.predicted, test),
            "asr": _share_as_labelled(under.predicted, triggered_test),
            "r_accuracy": proportion(int(back.sum()), len(back)),
        },
        "per_class": {
            "accuracy": [round(float(right[r].double().mean()), 6) for r in rows],
            "loss": [round(float(clean.losses[r].mean()), 6) for r in rows],
        },
    }


def detection(scores: torch.Tensor, truth: Truth, labels: torch.Tensor) -> dict[str, float]:
    """Judge a ranking of training examples by the truth.

    auroc: over all examples; auroc_in_class: within the classes that hold poison, averaged over
    poisoned examples, for scores that are comparable within a class only; tpr_1, tpr_5: share of
    poison above the threshold that 1 % and 5 % of the clean examples exceed.

    Args:
        scores: float[n], larger is more suspicious.
        labels: int64[n] as the defender sees them.
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


def suspicion(scores: torch.Tensor, wanted: torch.Tensor) -> dict[str, Interval]:
    """Say how the classes that an attacker wants stand among the scores of all classes.

    target_rank: of the most suspicious of them, 1 is the first; target_gap: by how many times the
    median absolute deviation of the other classes it lies above their median.

    Args:
        scores: float[c], or float[1] of a whole model, for which neither is known.
        wanted: int64[k].
    """
    if len(scores) < 3:
        return {}
    classes = wanted.unique()
    top = int(classes[scores[classes].argmax()])
    others = torch.cat([scores[:top], scores[top + 1 :]])
    centre = float(others.quantile(0.5))
    spread = float((others - centre).abs().quantile(0.5)) * 1.4826
    gap = (float(scores[top]) - centre) / spread if spread else float("nan")
    rank = float((others >= scores[top]).sum()) + 1
    return {"target_rank": Interval(rank, rank, rank, 1), "target_gap": Interval(gap, gap, gap, 1)}


def guarding(
    clean: torch.Tensor, under: torch.Tensor, false: torch.Tensor, true: torch.Tensor
) -> dict[str, Interval]:
    """Judge a guard by its scores and alarms on clean and on triggered inputs.

    auroc; tpr_5: share of triggered inputs above the threshold that 5 % of the clean ones exceed;
    false_alarms, caught: share of clean and of triggered inputs on which it sounded the alarm.

    Args:
        clean: float and bool[t].
        false: float and bool[t].
        under: float and bool[k], empty without an attack.
        true: float and bool[k], empty without an attack.
    """
    rates = {"false_alarms": proportion(int(false.sum()), len(false))}
    if len(under):
        scores = torch.cat([clean, under])
        positive = torch.arange(len(scores)) >= len(clean)
        caught = tpr_at_fpr(scores, positive, 0.05)
        rates["auroc"] = auroc_interval(scores, positive)
        rates["tpr_5"] = proportion(round(caught * len(under)), len(under))
        rates["caught"] = proportion(int(true.sum()), len(true))
    return rates
