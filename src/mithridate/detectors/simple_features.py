"""Simple features that go with one label although the rest of the input speaks for another.

Axes: n examples, k features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from scipy.sparse import csr_matrix

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.features import Carried, Selected
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.detectors._shortlist import Shortlist
from mithridate.stats.conflict import ContentModel, strength


@dataclass(frozen=True)
class SimpleFeatures(Detector):
    """Score each example by the strongest simple feature that explains its label.

    The domain lists what an input has: words and their neighbours, pixels of a colour at a place.
    For a feature and a class, every carrier is asked what the rest of it says, by a naive Bayes
    model that saw no carrier. The strength is the log likelihood ratio of "carriers have this label
    whatever the rest says" against "the feature adds to the evidence of the rest" (see
    `stats/conflict.py`). s(x) = the largest strength of the features of x that go with its label, 0
    without any. Larger is more suspicious. It needs no network. The paper takes z-scores of
    features and labels alone, which words of a topic pass as well.

    Attributes:
        least: fewest carriers of a feature, 2 or more.
        shortlist: features that are looked at closely, in each of two orders; every class has an
            equal part of them.

    Raises:
        CannotJudge: where the domain lists no simple features.
    """

    paper = (
        "He et al., Mitigating Backdoor Poisoning Attacks through the Lens of Spurious "
        "Correlation, EMNLP 2023"
    )
    links = ("https://arxiv.org/abs/2305.11596",)
    known_as = ("z-defence",)
    assumes = (
        "the trigger is a feature that the domain lists, most who carry it have the target label, "
        "and what else they hold speaks for other classes"
    )
    space: ClassVar = {"shortlist": (100, 400, 1600)}

    least: int = 3
    shortlist: int = 400

    def fit(self, view: View) -> State:
        """Find features with a strength above 0: keys, labels int64[k], strengths float64[k].

        Raises:
            MethodError: for settings out of range.
        """
        if self.least < 2 or self.shortlist < 1:
            raise MethodError(
                "need at least 2 carriers and 1 feature on the shortlist; found least "
                f"{self.least} and shortlist {self.shortlist}"
            )
        labels = view.labels.numpy()
        families = listed(view, Selected(self.least))
        first = next(families)
        content = ContentModel(_matrix(first, len(labels)), labels, int(labels.max(initial=0)) + 1)
        each = max(1, self.shortlist // len(np.unique(labels)))
        shortlist = Shortlist(labels, content.left_out, each)
        for family in (first, *families):
            shortlist.add(family)
        kept = []
        for one in shortlist.candidates():
            value = strength(content.without(one.carriers), labels[one.carriers], one.label)
            if value > 0:
                kept.append((value, one.key, one.label))
        kept.sort(key=lambda each: -each[0])  # of equal ones the first, so words before neighbours
        return {
            "keys": torch.tensor([key for _, key, _ in kept], dtype=torch.int64),
            "labels": torch.tensor([label for _, _, label in kept], dtype=torch.int64),
            "strengths": torch.tensor([value for value, _, _ in kept], dtype=torch.float64),
        }

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n]."""
        labels = view.labels.numpy()
        scores = np.zeros(len(labels))
        keys, owners, values = (state[name].numpy() for name in ("keys", "labels", "strengths"))
        for family in listed(view, Selected(only=keys)):
            owner, value = labels[family.rows], np.zeros(len(family.rows))
            for label in np.unique(owners):
                own = owners == label
                order = np.argsort(keys[own])
                known, best = keys[own][order], values[own][order]
                place = np.searchsorted(known, family.keys).clip(0, len(known) - 1)
                held = np.where(known[place] == family.keys, best[place], 0.0)
                value = np.where(owner == label, held[family.columns], value)
            np.maximum.at(scores, family.rows, value)
        return torch.from_numpy(scores)


def listed(view: View, selected: Selected) -> Iterator[Carried]:
    """The families of simple features of a view.

    Raises:
        CannotJudge: where its domain, perhaps of another package, lists none.
    """
    domain = view.domain
    if not hasattr(domain, "simple_features"):
        raise CannotJudge(
            f"the domain {domain.name!r} lists no simple features of its inputs; use a detector "
            "that needs none"
        )
    return domain.simple_features(view.inputs, selected)


def _matrix(family: Carried, n: int) -> csr_matrix:
    ones = np.ones(len(family.rows))
    return csr_matrix((ones, (family.rows, family.columns)), shape=(n, len(family.keys)))
