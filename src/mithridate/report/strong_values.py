"""The strongest features as plain values for a record."""

from __future__ import annotations

import math
from typing import Any

from mithridate.core.data import Dataset
from mithridate.pipelines.features_found import StrongFeatures
from mithridate.report.quoting import spell_surrogates


def figures_of(measured: StrongFeatures | None, data: Dataset) -> dict[str, Any] | None:
    """Give all that was measured as plain values for a record; None where nothing was."""
    if measured is None:
        return None
    return {
        "trainings": measured.trainings,
        "sizes": list(measured.sizes),
        "features": [
            {
                "class": spell_surrogates(data.classes[each.label]),
                "end": each.end,
                "size": each.size,
                "strength": _plain(each.slope),
                "interval": [_plain(end) for end in each.interval],
                "excess": _plain(each.excess),
                "by_size": [_plain(float(value)) for value in each.slopes],
                "first_members": each.members.tolist(),
            }
            for each in measured.features
        ],
    }


def _plain(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
