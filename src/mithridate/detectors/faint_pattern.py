"""A faint pattern that some inputs of a class share, sought in what their surroundings do not say.

Axes: n examples, c classes, d details of an input.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.stats.linear import by_class, centre, main_direction, scatter


@dataclass(frozen=True)
class FaintPattern(Detector):
    """Score each example by how much it shares of the strongest pattern of its class.

    The domain gives details x: what an input is without what its surroundings say. They are taken
    from the mean of their class, whitened by the covariance S of all classes together, and given
    length 1: z = L^-1 (x - m_y) / |L^-1 (x - m_y)| with L L' = S + r tr(S) / d. With v the main
    direction of the z of a class, s = +-(z . v - median), its sign that of the longer tail. Larger
    is more suspicious. It needs no network. The paper seeks that direction in the features of one.

    Attributes:
        ridge: r, added to the covariance as a share of its mean variance, above 0.

    Raises:
        CannotJudge: where the domain gives no details.
    """

    paper = "Tran, Li and Madry, Spectral Signatures in Backdoor Attacks, NeurIPS 2018"
    links = ("https://arxiv.org/abs/1811.00636",)
    assumes = (
        "the trigger adds much the same faint pattern to every input, and varies more within the "
        "target class than anything natural does there and not in other classes"
    )
    space: ClassVar = {"ridge": (0.01, 0.1, 1.0)}

    ridge: float = 0.1

    def fit(self, view: View) -> State:
        """Find means, the root of the covariance, directions and middles of every class.

        Raises:
            MethodError: where the ridge is not above 0.
        """
        if not self.ridge > 0:
            raise MethodError(f"the ridge must be above 0, found {self.ridge}")
        details, labels = _details(view), view.labels
        count, width = int(labels.max()) + 1, details.shape[1]
        means, directions = torch.zeros(2, count, width, dtype=torch.float64)
        spread = torch.zeros(width, width, dtype=torch.float64)
        middles = torch.zeros(count, dtype=torch.float64)
        for label, index in by_class(labels, fewest=1):
            means[label] = centre(details[index])
            spread += scatter(details[index], means[label])
        spread /= len(labels)
        floor = self.ridge * spread.diagonal().mean().clamp_min(1e-12)
        root = torch.linalg.cholesky(spread + floor * torch.eye(width))
        for label, index in by_class(labels):
            rows = _whitened(details[index] - means[label], root)
            direction = main_direction(rows, centre(rows))
            along = rows.double() @ direction
            middles[label] = along.median()
            tail = float((along - middles[label]).pow(3).sum())
            sign = 1.0 if tail >= 0 else -1.0
            directions[label], middles[label] = sign * direction, sign * middles[label]
        return {"means": means, "root": root, "directions": directions, "middles": middles}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n]; examples of classes never fitted score 0."""
        labels, details = view.labels, _details(view)
        scores = torch.zeros(len(labels), dtype=torch.float64)
        for label, index in by_class(labels, fewest=1):
            if label < len(state["means"]):
                rows = _whitened(details[index] - state["means"][label], state["root"])
                along = rows.double() @ state["directions"][label]
                scores[index] = along - state["middles"][label]
        return scores


def _whitened(apart: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
    """Rows of length sqrt(d) in which all directions vary alike, float32[n, d]."""
    rows = torch.linalg.solve_triangular(root, apart.T, upper=False).T
    short: torch.Tensor = F.normalize(rows, dim=1)
    return (short * math.sqrt(len(root))).float().contiguous()


def _details(view: View) -> torch.Tensor:
    domain = view.domain
    if not hasattr(domain, "details"):
        raise CannotJudge(
            f"the domain {domain.name!r} gives no details of its inputs; use a detector that needs "
            "none"
        )
    details: torch.Tensor = domain.details(view.inputs)
    return details
