"""Spectral Signatures: examples that lie far along the main direction of their class.

Axes: n examples, d features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from mithridate.core.method import Detector, State
from mithridate.core.view import View


@dataclass(frozen=True)
class SpectralSignatures(Detector):
    """Score each example by its squared shift along the main direction of its class.

    For class y with features R: tau_i = ((R_i - mean) . v)^2, with v the top right singular vector
    of R - mean. Larger is more suspicious. Scores are comparable within a class only.
    compat: "official" scores |R_i . v| without centring, as the published code does, against the
    published algorithm.
    """

    paper = "Tran, Li and Madry, Spectral Signatures in Backdoor Attacks, NeurIPS 2018"
    assumes = (
        "poisoned examples are a minority of their class and differ from it in the direction of "
        "largest variance of the features"
    )

    compat: Literal["paper", "official"] = "paper"

    def fit(self, view: View) -> State:
        """Find mean and main direction of every class: float64[c, d] each."""
        features, labels = view.features.double(), view.labels
        classes = int(labels.max()) + 1
        means = torch.zeros(classes, features.shape[1], dtype=torch.float64)
        directions = torch.zeros_like(means)
        for label in labels.unique().tolist():
            rows = features[labels == label]
            means[label] = rows.mean(0)
            centred = rows - means[label]
            directions[label] = torch.linalg.eigh(centred.T @ centred)[1][:, -1]
        return {"means": means, "directions": directions}

    def score(self, state: State, view: View) -> torch.Tensor:
        """Score every example, float64[n]."""
        features, labels = view.features.double(), view.labels
        directions = state["directions"][labels]
        if self.compat == "official":
            return (features * directions).sum(1).abs()
        return ((features - state["means"][labels]) * directions).sum(1).square()
