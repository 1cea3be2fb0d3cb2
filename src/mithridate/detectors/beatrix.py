"""Beatrix: inputs whose features occur together as they do in no trusted input of their class.

Axes: n examples, c classes, d features, p = d (d + 1) / 2 pairs of features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.detectors._drawing import drawn
from mithridate.stats.linear import by_class

ROWS = 2048
"""Examples of a class that bounds are computed from, at most: more would not move a median."""
ENTRIES = 2**23
"""Products of features held in memory at a time: 32 MB."""
LARGEST = 2**28
"""Numbers that the bounds of all classes may have: 1 GB."""


@dataclass(frozen=True)
class Beatrix(Detector):
    """Score each input by how far products of its features leave the bounds of its class.

    s = mean_{i <= j} max(0, |a_i a_j - m_ij| - width M_ij) / (M_ij + M), with a the features, m and
    M_ij the median and the median absolute deviation of a_i a_j over trusted inputs of the same
    class, and M the mean of the M_ij. Larger is more suspicious. Classes that were fitted on fewer
    than four examples take the bounds of all. The paper takes Gram matrices of powers 1 to 9 of
    feature maps; of the features of the last layer, which have one position, all powers have the
    same matrix up to the sign, so one remains. It divides what exceeds a bound by the bound, which
    is zero for features that are mostly off, and sums; here it is divided by the spread.

    Attributes:
        width: of the bounds, in median absolute deviations; the paper's.

    Raises:
        MethodError: where the width is negative.
        CannotJudge: where the bounds would fill the memory.
    """

    paper = (
        "Ma et al., The 'Beatrix' Resurrections: Robust Backdoor Detection via Gram Matrices, "
        "NDSS 2023"
    )
    links = ("https://arxiv.org/abs/2209.11715",)
    assumes = (
        "triggered inputs raise other combinations of features than the inputs of the class that "
        "they are given"
    )
    space: ClassVar = {"width": (0.0, 1.0, 3.0, 10.0)}

    width: float = 10.0

    def fit(self, view: View) -> State:
        """Find medians and median absolute deviations of trusted inputs, float32[c + 1, p] each.

        The last row is that of all examples.
        """
        if self.width < 0:
            raise MethodError(f"the width of the bounds must not be negative, found {self.width}")
        features, labels = view.features.float(), view.labels
        classes, pairs = int(labels.max()) + 1, features.shape[1] * (features.shape[1] + 1) // 2
        if (classes + 1) * pairs > LARGEST:
            raise CannotJudge(
                f"the bounds of {classes} classes on {features.shape[1]} features are "
                f"{(classes + 1) * pairs:.1e} numbers, more than {LARGEST:.1e}; give the view "
                "fewer features, such as their main directions"
            )
        medians, spreads = (row.repeat(classes + 1, 1) for row in bounds(features))
        for label, index in by_class(labels):
            medians[label], spreads[label] = bounds(features.index_select(0, index))
        return {"medians": medians, "spreads": spreads}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input against the bounds of its label, float64[n]."""
        features, labels = view.features.float(), view.labels
        last = len(state["medians"]) - 1
        scores = torch.zeros(len(labels), dtype=torch.float64)
        for label, index in by_class(labels.clamp_max(last), fewest=1):
            median, spread = state["medians"][label], state["spreads"][label]
            scale = spread + spread.mean() + 1e-6 * median.abs().mean() + 1e-30
            rows = features.index_select(0, index)
            total = scores.new_zeros(len(rows))
            for some, products in products_of(rows):
                beyond = (products - median[some]).abs() - self.width * spread[some]
                total += (beyond.clamp_min(0) / scale[some]).double().sum(1)
            scores[index] = total / len(median)
        return scores


def bounds(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Medians and median absolute deviations of the products of rows[n, d], float32[p] each."""
    medians, spreads = [], []
    for _, products in products_of(drawn(rows, ROWS, 0, "beatrix")):
        medians.append(products.median(0).values)
        spreads.append((products - medians[-1]).abs().median(0).values)
    return torch.cat(medians), torch.cat(spreads)


def products_of(rows: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Give the products of all pairs of features, some pairs at a time: places, [n, p]."""
    first, second = torch.triu_indices(rows.shape[1], rows.shape[1])
    step = max(1, ENTRIES // max(1, len(rows)))
    for start in range(0, len(first), step):
        some = slice(start, start + step)
        yield some, rows[:, first[some]] * rows[:, second[some]]
