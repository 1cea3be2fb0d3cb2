"""What a filter found, by the truth: ranking, list of examples and calibration.

Axes: n suspects.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mithridate.bench.metrics.evaluate import detection
from mithridate.core.data import Truth
from mithridate.stats.intervals import Interval, proportion
from mithridate.stats.ranking import auroc_interval, roc

LEVELS = (0.01, 0.05, 0.1)
"""Where calibration is looked at."""


def measure_filter(
    tensors: dict[str, torch.Tensor], truth: Truth, labels: torch.Tensor
) -> tuple[dict[str, Interval], dict[str, list[Any]]]:
    """Measure a filter's answer: flagged bool[n], and scores and p-values where it gave them.

    realised_tpr, realised_fpr: shares of poisoned and of clean suspects that were flagged;
    realised_fdr: share of clean examples among the flagged; auroc, auroc_in_class, tpr_1, tpr_5:
    see `detection`; calibration_error: largest distance, over the levels 1, 5 and 10 %, between a
    level and the share of clean suspects with a p-value below it. Returns the metrics, and the
    curve of the ranking.
    """
    poisoned, flagged = truth.poisoned, tensors["flagged"]
    clean = ~poisoned
    metrics = {
        "realised_fpr": proportion(int((flagged & clean).sum()), int(clean.sum())),
        "realised_fdr": proportion(int((flagged & clean).sum()), int(flagged.sum())),
        "flagged": _exactly(int(flagged.sum()) / len(flagged), len(flagged)),
    }
    curves: dict[str, list[Any]] = {}
    hits = int(poisoned.sum())
    if hits:
        metrics["realised_tpr"] = proportion(int((flagged & poisoned).sum()), hits)
    if "scores" in tensors and 0 < hits < len(poisoned):
        scores = tensors["scores"][: len(labels)]
        by_name = detection(scores, truth, labels)
        metrics["auroc"] = auroc_interval(scores, poisoned)
        metrics["auroc_in_class"] = _exactly(by_name["auroc_in_class"], hits)
        for name in ("tpr_1", "tpr_5"):
            metrics[name] = proportion(round(by_name[name] * hits), hits)
        curves["roc"] = roc(scores, poisoned)
    if "p_values" in tensors:
        metrics["calibration_error"] = _calibration(tensors["p_values"][clean].numpy())
    return metrics, curves


def _calibration(p_values: np.ndarray[Any, Any]) -> Interval:
    errors = [abs(float((p_values <= level).mean()) - level) for level in LEVELS]
    return _exactly(max(errors), len(p_values))


def _exactly(value: float, n: int) -> Interval:
    """A value whose interval comes from repetition over seeds alone."""
    return Interval(value, -np.inf, np.inf, n)
