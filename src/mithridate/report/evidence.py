"""Which classes and which examples a reader should see, and in what order.

Nothing here decides anything: the verdict and the list of flagged examples come from the scan.
Axes: n suspect examples, k shown examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.core.data import Dataset
from mithridate.pipelines.scan import ClassFinding, DataScan, Judged
from mithridate.report.record import compared

CLASSES = 6  # classes shown with all their evidence: a page is read, a record is searched
UNJUDGED = 3  # classes shown where no p-value says which one to look at
REVIEW = 16  # examples shown of a class in which none was flagged


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One class as evidence.

    judged: the detector whose order is shown; suspects: int64[k], positions of the flagged
    examples, or of the first few where none was flagged, the most suspicious first; typical:
    int64[k], the rest of the class, those nearest to its median score first; flagged: whether the
    suspects were flagged.
    """

    label: int
    finding: ClassFinding
    judged: Judged
    suspects: torch.Tensor
    typical: torch.Tensor
    flagged: bool


def exhibits(scan: DataScan, data: Dataset) -> tuple[Exhibit, ...]:
    """Choose the classes to show: those with flagged examples, else the first ones by rank."""
    held = [label for label, found in enumerate(scan.classes) if found.suspects]
    flagged = [label for label in held if scan.classes[label].flagged]
    if flagged:
        chosen = sorted(flagged, key=lambda label: smallest(scan.classes[label]))[:CLASSES]
    elif compared(scan):
        ranked = sorted(held, key=lambda label: smallest(scan.classes[label]))
        found = [c for c in ranked if smallest(scan.classes[c]) <= scan.verdict.level]
        chosen = found[:CLASSES] or ranked[:1]
    else:
        apart = _apart(scan, data).max(0).values
        chosen = sorted(held, key=lambda label: -float(apart[label]))[:UNJUDGED]
    return tuple(_exhibit(scan, data, label) for label in chosen)


def smallest(found: ClassFinding) -> float:
    """The smallest adjusted p-value of a class, 1 where there is none."""
    return min(found.p_values.values(), default=1.0)


def _exhibit(scan: DataScan, data: Dataset, label: int) -> Exhibit:
    found = scan.classes[label]
    judged = _leading(scan, data, label)
    rows = (data.labels == label).nonzero().flatten()
    scores = judged.scores.values[rows]
    order = scores.argsort(descending=True, stable=True)
    named = scan.flagged[rows]
    suspects = order[named[order]]
    if found.flagged == 0:
        suspects = order[: min(REVIEW, (len(rows) + 1) // 2)]
    rest = torch.ones(len(rows), dtype=torch.bool)
    rest[suspects] = False
    others = rest.nonzero().flatten()
    middle = scores[others].median() if len(others) else torch.tensor(0.0)
    near = (scores[others] - middle).abs().argsort(stable=True)
    return Exhibit(label, found, judged, rows[suspects], rows[others[near]], found.flagged > 0)


def _leading(scan: DataScan, data: Dataset, label: int) -> Judged:
    """The detector that flagged, else the one with the smallest p-value, else by its scores."""
    found = scan.classes[label]
    if found.by is not None:
        return next(j for j in scan.judged if j.detector.name() == found.by)
    if found.p_values:
        return min(scan.judged, key=lambda j: found.p_values[j.detector.name()])
    return scan.judged[int(_apart(scan, data)[:, label].argmax())]


def _apart(scan: DataScan, data: Dataset) -> torch.Tensor:
    """How far the highest scores of each class stand above the rest, float64[detectors, classes].

    (98 % quantile - median) / spread, over the middle class of the detector, with the spread taken
    below the upper quartile, where few poisons are: an order for the eye, without any error rate.
    """
    found = torch.zeros(len(scan.judged), len(scan.classes), dtype=torch.float64)
    held = data.labels.unique().tolist()
    for number, judged in enumerate(scan.judged):
        for label in held:
            above = judged.scores.values[data.labels == label].double()
            above = above - above.median()
            low = above[above <= above.quantile(0.75)].abs().mean()
            spread = torch.maximum(low, above.abs().mean() / 4)  # ties would leave no spread
            found[number, label] = above.quantile(0.98) / spread if spread else 0.0
    usual = found[:, held].median(1, keepdim=True).values
    return torch.where(usual > 0, found / usual.clamp(min=1e-12), torch.zeros_like(found))
