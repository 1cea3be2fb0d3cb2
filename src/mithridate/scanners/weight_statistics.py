"""Trojan signatures: outliers among the rows of the last linear layer, without data or queries.

Axes: c classes, d features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.inference import last_linear
from mithridate.core.scanner import Scanned, Scanner
from mithridate.core.scores import Scores
from mithridate.core.view import View

GAUSSIAN = 1.4826
"""Turns a median absolute deviation into the standard deviation of normal values."""


@dataclass(frozen=True)
class WeightStatistics(Scanner):
    """Look for a class whose weights in the last layer are larger than the others' are.

    With rows w_k of the last linear layer, centred over classes, u = w - mean_k w_k: mean_k = mean
    of u_k over features, largest_k = max of u_k, length_k = |u_k|; the score is (t_k - median t) /
    (1.4826 MAD t) of the statistic t chosen. found: all three, and "bias". The paper tests the
    largest value by Dixon's Q; here values are standardised robustly and p-values come from clean
    models. It is the cheapest scanner and by far the weakest: small networks keep no signature that
    stands out of ten classes.

    Attributes:
        statistic: "mean" as in the paper, "largest" for a backdoor that stands on a single feature,
            "length" for one that lengthens the whole row.

    Raises:
        CannotJudge: for fewer than three classes, where the weights cannot be read or are no rows
            of classes, or where more than half of the classes have the same statistic.
    """

    paper = "Fields et al., Trojan Signatures in DNN Weights, ICCV Workshops 2021"
    links = ("https://arxiv.org/abs/2109.02836",)
    known_as = ("trojan-signatures",)
    assumes = "the backdoor raised the weights of its class in the last layer on average"

    statistic: Literal["mean", "largest", "length"] = "mean"

    def scan(self, view: View, rng: np.random.Generator) -> Scanned:
        """Read the last layer."""
        classes = view.classes
        if classes < 3:
            raise CannotJudge(
                f"an outlier needs at least 3 classes, found {classes}; use another scanner"
            )
        rows, bias = head(view, classes)
        apart = rows - rows.mean(0)
        shown = {
            "mean": apart.mean(1),
            "largest": apart.amax(1),
            "length": apart.norm(dim=1),
            "bias": bias,
        }
        return Scanned(Scores(standardise(shown[self.statistic]), unit="class"), shown)


def head(view: View, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Read the weights float64[c, d] and biases float64[c] of the last linear layer.

    Raises:
        CannotJudge: where there is none, as where all are packed, where its weights are not finite,
            or where its outputs are not the classes.
    """
    try:
        layer = last_linear(view.model)
    except MethodError as error:
        raise CannotJudge(
            f"the weights of the last layer cannot be read: {error}; scan a dequantised twin, or "
            "use a scanner that only asks the model"
        ) from error
    rows = layer.weight.detach().dequantize().double().cpu()
    if rows.ndim != 2 or len(rows) != classes or not bool(torch.isfinite(rows).all()):
        raise CannotJudge(
            f"the last linear layer must have one finite row for each of {classes} classes, found "
            f"shape {list(rows.shape)}: use another scanner"
        )
    none = torch.zeros(classes, dtype=torch.float64)
    return rows, none if layer.bias is None else layer.bias.detach().double().cpu()


def standardise(values: torch.Tensor) -> torch.Tensor:
    """Give the distance of values float[c] from their median in robust standard deviations.

    Raises:
        CannotJudge: where the median absolute deviation is 0.
    """
    apart = values - values.quantile(0.5)
    spread = GAUSSIAN * apart.abs().quantile(0.5)
    if not float(spread) > 0:
        raise CannotJudge(
            "more than half of the classes have the same weights in the last layer, so there is no "
            "spread to compare with; an untrained or tied layer cannot be judged by its weights"
        )
    return apart / spread
