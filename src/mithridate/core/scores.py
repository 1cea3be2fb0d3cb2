"""The one answer of everything that judges: scores, their p-values, and a verdict.

Axes: n units judged, m calibration units.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from mithridate.core.errors import ContractError

Unit = Literal["sample", "class", "model", "client"]
"""What is judged: an example, a class of a model, the whole model, or a client."""


@dataclass(frozen=True, eq=False)
class Scores:
    """How suspicious each unit is.

    Attributes:
        values: float[n], larger is more suspicious, finite.
        p_values: float[n] from calibration outside the method, or None where nothing could
            calibrate them.
    """

    values: torch.Tensor
    unit: Unit = "sample"
    p_values: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 1:
            raise ContractError(f"scores must be float[n], found shape {list(self.values.shape)}")
        bad = int((~torch.isfinite(self.values)).sum())
        if bad:
            raise ContractError(f"scores must be finite, found {bad} that are not")


@dataclass(frozen=True)
class Verdict:
    """The answer to one question, with its stated error rate.

    Attributes:
        level: the probability of "flagged" where nothing is wrong is at most this.
        p_value: of the whole question.
        finest_p: the smallest p-value that the calibration could have given.
    """

    answer: Literal["flagged", "clean", "cannot judge"]
    level: float
    p_value: float | None
    finest_p: float | None
    why: str = ""
    evidence: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.answer}: {self.why}" if self.answer == "cannot judge" else self.answer


def conformal_p_values(scores: torch.Tensor, calibration: torch.Tensor) -> torch.Tensor:
    """Give each score its conformal p-value against clean calibration scores.

    p_i = (1 + #{j : c_j >= s_i}) / (m + 1). Under exchangeability P(p_i <= t) <= t for every t. The
    finest value is 1 / (m + 1); with m = 0 every p-value is 1. Returns float64[n]. Vovk, Gammerman
    and Shafer, Algorithmic Learning in a Random World, 2005.

    Args:
        scores: float[n], larger is more suspicious.
        calibration: float[m].
    """
    ordered = np.sort(calibration.double().numpy())
    below = np.searchsorted(ordered, scores.double().numpy(), side="left")
    return torch.from_numpy((1.0 + len(ordered) - below) / (len(ordered) + 1.0))
