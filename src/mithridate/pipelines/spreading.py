"""From an answer about units, each content once, to one about every suspect.

Axes: n suspects, N rows of suspects and trusted examples, d features.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from mithridate.core.data import Dataset
from mithridate.core.scores import Scores
from mithridate.pipelines.finding import ClassFinding, DataScan, Judged
from mithridate.pipelines.naming import Naming
from mithridate.pipelines.overlap import Arrangement


def _counted(
    classes: tuple[ClassFinding, ...], labels: torch.Tensor, flagged: torch.Tensor
) -> tuple[ClassFinding, ...]:
    """Count the suspects and the flagged ones of every class anew."""
    sizes = torch.bincount(labels, minlength=len(classes)).tolist()
    named = torch.bincount(labels[flagged], minlength=len(classes)).tolist()
    return tuple(
        replace(each, suspects=size, flagged=many)
        for each, size, many in zip(classes, sizes, named, strict=True)
    )


def spread(scan: DataScan, data: Dataset, seen: Arrangement) -> DataScan:
    """Let every suspect share what was found of its content; one that was not judged is not named.

    Args:
        scan: The answer about `seen.suspects`.
        data: All n suspects.
        seen: Who was compared with whom.
    """
    n = len(data)
    features = _placed(scan.features, seen)
    flagged = _of_unit(scan.flagged, seen, torch.zeros(n, dtype=torch.bool))
    return replace(
        scan,
        judged=tuple(_judged(judged, seen, n) for judged in scan.judged),
        classes=_counted(scan.classes, data.labels, flagged),
        flagged=flagged,
        features=torch.cat([features[:n], features[seen.trusted]]),
        trusted=seen.both.subset(seen.trusted),
        overlap=seen.overlap,
        naming=None if scan.naming is None else _naming(scan.naming, scan.flagged, seen),
    )


def _naming(naming: Naming, named: torch.Tensor, seen: Arrangement) -> Naming:
    """Give every suspect its place in the list; the bound counts units, so take the largest."""
    n = len(seen.unit)
    p_values = naming.scores.p_values
    assert p_values is not None
    values = _of_unit(naming.scores.values, seen, torch.zeros(n, dtype=torch.float64))
    each = _of_unit(p_values, seen, torch.ones(n, dtype=torch.float64))
    often = torch.bincount(seen.unit[seen.unit >= 0], minlength=len(named))[named]
    most = int(often.sort(descending=True).values[: naming.clean_at_most].sum())
    return replace(naming, scores=Scores(values, "sample", each), clean_at_most=most)


def _judged(judged: Judged, seen: Arrangement, n: int) -> Judged:
    values = torch.cat([judged.scores.values, judged.trusted, judged.rest])
    p_values = judged.scores.p_values
    if p_values is not None:
        p_values = _of_unit(p_values, seen, torch.ones(n, dtype=p_values.dtype))
    scores = Scores(_placed(values, seen)[:n], judged.scores.unit, p_values)
    return replace(judged, scores=scores, rest=values[:0])


def _placed(values: torch.Tensor, seen: Arrangement) -> torch.Tensor:
    """Put what belongs to the rows in `seen.order` at their places, [N, ...]; 0 for the others."""
    whole = values.new_zeros(len(seen.both), *values.shape[1:])
    whole[seen.order] = values
    return whole


def _of_unit(values: torch.Tensor, seen: Arrangement, without: torch.Tensor) -> torch.Tensor:
    """Give each suspect the value of its unit, [n]; those without one keep that of `without`."""
    judged = seen.unit >= 0
    without[judged] = values[seen.unit[judged]]
    return without
