"""Which classes and which examples a reader should see, and in what order.

Nothing here decides anything: the verdict and the list of flagged examples come from the scan.
Axes: n suspect examples, k shown examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Dataset
from mithridate.core.scores import Scores
from mithridate.pipelines.finding import ClassFinding, DataScan, Judged
from mithridate.report.record import is_compared, ordered

Floats = NDArray[np.float64]

CLASSES = 6  # classes shown with all their evidence: a page is read, a record is searched
UNJUDGED = 3  # classes shown where no p-value says which one to look at
REVIEW = 16  # examples shown of a class in which none was flagged
COMPONENTS = 16  # main directions whose extent is computed
ENOUGH = 10  # examples that a set of extents needs


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One class as evidence.

    Attributes:
        judged: the detector that leads the order in which examples are shown.
        scores: of all suspects, by which that order is.
        suspects: int64[k], positions of the flagged examples, or of the first few where none was
            flagged, the most suspicious first.
        typical: int64[k], the rest of the class, those nearest to its median score first.
        flagged: whether the suspects were flagged.
    """

    label: int
    finding: ClassFinding
    judged: Judged
    scores: Scores
    suspects: torch.Tensor
    typical: torch.Tensor
    flagged: bool


def exhibits(scan: DataScan, data: Dataset) -> tuple[Exhibit, ...]:
    """Choose the classes to show: those with flagged examples, else the first ones by rank.

    Where nothing could be tested, the classes that extend furthest along one direction of their
    features come first, which is what poisoned examples make of a class: no error rate is claimed.
    """
    held = [label for label, finding in enumerate(scan.classes) if finding.suspects]
    flagged = [label for label in held if scan.classes[label].flagged]
    if flagged:
        chosen = sorted(flagged, key=lambda label: smallest(scan.classes[label]))[:CLASSES]
    elif is_compared(scan):
        ranked = sorted(held, key=lambda label: smallest(scan.classes[label]))
        finding = [c for c in ranked if smallest(scan.classes[c]) <= scan.verdict.level]
        chosen = finding[:CLASSES] or ranked[:1]
    else:
        known = scan.features[: len(data)]
        widest = {label: extents(known[data.labels == label])[:1].sum() for label in held}
        chosen = sorted(held, key=lambda label: -widest[label])[:UNJUDGED]
    return tuple(_exhibit(scan, data, label) for label in chosen)


def smallest(finding: ClassFinding) -> float:
    """The smallest adjusted p-value of a class, 1 where there is none."""
    return min(finding.p_values.values(), default=1.0)


def _exhibit(scan: DataScan, data: Dataset, label: int) -> Exhibit:
    finding = scan.classes[label]
    judged = _leading_judgement(scan, label)
    rows = (data.labels == label).nonzero().flatten()
    whole = ordered(scan, judged)
    scores = whole.values[rows]
    order = scores.argsort(descending=True, stable=True)
    named = scan.flagged[rows]
    suspects = order[named[order]]
    if finding.flagged == 0:
        suspects = order[: min(REVIEW, (len(rows) + 1) // 2)]
    rest = torch.ones(len(rows), dtype=torch.bool)
    rest[suspects] = False
    others = rest.nonzero().flatten()
    middle = scores[others].median() if len(others) else torch.tensor(0.0)
    near = (scores[others] - middle).abs().argsort(stable=True)
    typical = rows[others[near]]
    return Exhibit(label, finding, judged, whole, rows[suspects], typical, finding.flagged > 0)


def _leading_judgement(scan: DataScan, label: int) -> Judged:
    """The detector that leads the order, else the one with the smallest p-value, else the first."""
    finding = scan.classes[label]
    if finding.by is not None:
        return next(j for j in scan.judged if j.detector.name() == finding.by)
    if finding.weights:
        return max(scan.judged, key=lambda j: finding.weights[j.detector.name()])
    if finding.p_values:
        return min(scan.judged, key=lambda j: finding.p_values[j.detector.name()])
    return scan.judged[0]


def extents(features: torch.Tensor) -> Floats:
    """Standard deviations of features float[n, d] along their main directions, float64[k].

    s_i / sqrt(n - 1) with s_i the singular values of the centred features; none for few examples.
    """
    if len(features) < ENOUGH:
        return np.zeros(0)
    centred = features.double() - features.double().mean(0)
    gram = centred.T @ centred if len(features) > features.shape[1] else centred @ centred.T
    squares = torch.linalg.eigvalsh(gram / (len(features) - 1)).flip(0)
    return np.asarray(squares[:COMPONENTS].clamp(min=0).sqrt().numpy())
