"""Mahalanobis distance: inputs far from the class that they are called, in units of its spread.

Axes: n trusted examples, q inputs, d features, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Detector, State
from mithridate.core.view import View
from mithridate.stats.linear import by_class, centre, scatter


@dataclass(frozen=True)
class Mahalanobis(Detector):
    """Score inputs by their distance from the class they are called, in units of the shared spread.

    s = (x - m_y)' C^-1 (x - m_y), with m_y the mean of trusted features of the class y that the
    model gives, and C the covariance around the means, common to all classes. C is drawn towards a
    multiple of the identity by as much as its size and the number of examples suggest (OAS). The
    paper takes the nearest class, whichever it is; here it is the one that the model gives, since a
    backdoor leads away from that one. Distances of several layers, weighed by logistic regression
    on adversarial inputs, and the noise added to inputs are left out. A class without trusted
    examples has the mean of all.

    Raises:
        MethodError: where there are fewer than 2 trusted examples.
        CannotJudge: where the features of each class are all the same.
    """

    paper = (
        "Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and "
        "Adversarial Attacks, NeurIPS 2018; shrinkage: Chen et al., IEEE TSP 2010"
    )
    links = ("https://arxiv.org/abs/1807.03888", "https://arxiv.org/abs/0907.4698")
    assumes = (
        "clean features of a class are about Gaussian, and malicious inputs stay away from the "
        "class they are called"
    )

    def fit(self, view: View) -> State:
        """Keep the means float64[c + 1, d], the last that of all, and a root [d, d] of C^-1."""
        rows, labels = view.features, view.labels
        if len(labels) < 2:
            raise MethodError(f"need at least 2 trusted examples, found {len(labels)}")
        whole = centre(rows)
        means = whole.repeat(int(labels.max()) + 2, 1)
        total = torch.zeros(len(whole), len(whole), dtype=torch.float64)
        for label, index in by_class(labels, fewest=1):
            own = rows.index_select(0, index)
            means[label] = centre(own)
            total += scatter(own, means[label])
        return {"means": means, "root": _inverse_root(total / len(rows), len(rows))}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every input, float64[q]."""
        means = state["means"]
        nearest = means[view.labels.clamp_max(len(means) - 1)]
        white: torch.Tensor = (view.features.double() - nearest) @ state["root"]
        return white.square().sum(1)


def _inverse_root(matrix: torch.Tensor, n: int) -> torch.Tensor:
    """A root of the inverse of the shrunk covariance float64[d, d] of n examples.

    (1 - r) S + r tr(S) / d I, with the r of oracle approximating shrinkage.
    """
    d, trace = len(matrix), float(matrix.trace())
    if not trace > 0:
        raise CannotJudge("trusted examples of a class all have the same features: no spread")
    values, vectors = torch.linalg.eigh(matrix / trace)
    squares = float(values.square().sum())  # of a matrix of trace 1
    above, below = (1 - 2 / d) * squares + 1, (n + 1 - 2 / d) * (squares - 1 / d)
    share = min(1.0, above / below) if below > 0 else 1.0
    shrunk = (1 - share) * values.clamp_min(0) + share / d
    root: torch.Tensor = vectors * (shrunk * trace).clamp_min(1e-12 * trace).rsqrt()
    return root
