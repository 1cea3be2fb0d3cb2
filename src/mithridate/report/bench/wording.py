"""How axes, metrics and estimates are worded, the same on every page and in every table."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from mithridate.report.quoting import shorten

ABSENT = "–"  # noqa: RUF001 - a dash where a number would stand


class Meaning(NamedTuple):
    """How a metric is shown: its heading, whether it is a share, and what it says."""

    heading: str
    share: bool
    says: str


METRICS = {
    "asr": Meaning("ASR", True, "attack success rate: share of triggered test inputs, none of the "
                   "wanted class among them, that are called what the attacker wants"),
    "accuracy": Meaning("accuracy", True, "clean accuracy over all classes"),
    "r_accuracy": Meaning("R-Acc", True, "share of triggered inputs called by their true label"),
    "accuracy_reduction": Meaning("accuracy lost", True, "clean accuracy before minus after the "
                                  "defence, paired by test input"),
    "worst_class_reduction": Meaning("worst class lost", True, "largest fall of the accuracy of "
                                     "one class"),
    "reacquired_asr": Meaning("ASR after a lesson", True, "ASR after fine-tuning the defended "
                              "network on a few triggered examples among clean ones"),
    "reacquired_twin_asr": Meaning("the clean twin's", True, "the same of a network that never had "
                                   "the backdoor, after the same defence"),
    "reacquired_excess": Meaning("backdoor remembered", True, "mean over the epochs of that lesson "
                                 "of the ASR above the clean twin's; 0 where it learns no sooner"),
    "asr_reduction": Meaning("ASR removed", True, "ASR before minus after the defence, paired"),
    "effectiveness": Meaning("DE", True, "defence effectiveness: share of the ASR that the defence "
                             "removed, negative where the attack got stronger"),
    "auroc": Meaning("AUROC", True, "ranking of poisoned above clean examples; 50 % is chance"),
    "auroc_in_class": Meaning("AUROC in class", True, "the same within classes that hold poison"),
    "tpr_1": Meaning("TPR at 1 % FPR", True, "share of poison above the threshold that 1 % of "
                     "clean examples exceed"),
    "tpr_5": Meaning("TPR at 5 % FPR", True, "the same for 5 %"),
    "realised_tpr": Meaning("poison found", True, "share of poisoned examples that were flagged"),
    "realised_fpr": Meaning("FPR", True, "share of clean examples that were flagged"),
    "realised_fdr": Meaning("FDR", True, "share of clean examples among those flagged"),
    "flagged": Meaning("flagged", True, "share of all examples that were flagged"),
    "calibration_error": Meaning("calibration error", True, "largest distance between a level and "
                                 "the share of clean p-values below it, at 1, 5 and 10 %"),
}  # fmt: skip

DIFFERENCES = ("accuracy_reduction", "asr_reduction", "worst_class_reduction", "reacquired_excess")
"""Shares that may be negative; `effectiveness` has no lower end."""

RESULTS = {
    "destroyed": "the network was destroyed: it lost 10 points of accuracy or more",
    "open": "the attack still works: ASR of 10 % or more",
    "secure": "ASR below 10 % and less than 10 points of accuracy lost",
    "kept": "clean data, and less than 10 points of accuracy lost",
    "undefended": "the network as it was trained",
    "void": "the attack did not take, so that nothing is said about the defence",
    "skipped": "not possible for this method here",
    "failed": "an error stopped it",
}
"""What may stand as the result of a row, and what it means; see `bench/metrics/comparing.py`."""


def meaning(metric: str) -> Meaning:
    """Tell how a metric is shown; one that is not known is a plain number under its own name."""
    before = metric.removeprefix("undefended_")
    if before != metric and before in METRICS:
        known = METRICS[before]
        return Meaning(f"{known.heading} before", known.share, f"before the defence: {known.says}")
    return METRICS.get(metric) or Meaning(metric, False, "")


def number(value: float, metric: str) -> str:
    """A value of a metric: shares in percent with one digit, others in four significant digits."""
    if not math.isfinite(value):
        return ABSENT
    return f"{100 * value:.1f}".replace("-0.0", "0.0") if meaning(metric).share else f"{value:.4g}"


def bounds(low: float, high: float, metric: str) -> str:
    """An interval as [low, high]; empty where it has no end on either side."""
    if not (math.isfinite(low) or math.isfinite(high)):
        return ""
    first = number(low, metric) if math.isfinite(low) else "-∞"
    last = number(high, metric) if math.isfinite(high) else "∞"
    return f"[{first}, {last}]"


def percent(rate: Any) -> str:
    """A rate of poison, 0.005 as "0.5 %"."""
    return f"{100 * float(rate):g} %" if isinstance(rate, (int, float)) else str(rate)


def place(where: tuple[Any, ...]) -> str:
    """Name a task, network, precision and number of trusted examples."""
    task, network, precision, trusted = where
    names = (shorten(str(task), 40), shorten(str(network), 40), str(precision))
    return " · ".join((*names, f"{trusted} trusted"))


def size(value: float | None, digits: int = 3) -> str:
    """A number of seconds, megabytes or passes in so many significant digits."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"
