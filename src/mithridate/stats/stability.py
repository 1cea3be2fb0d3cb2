"""How much a result depends on the settings of a method.

Axes: c cells (data, model, attack, rate), h settings.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any, Generic, TypeVar

from mithridate.core.errors import MethodError

Cell = TypeVar("Cell", bound=Hashable)


@dataclass(frozen=True)
class Stability(Generic[Cell]):
    """How far a metric moves when settings move.

    Attributes:
        score: the mean over cells, 0 where the settings do not matter, larger is more sensitive.
        worst: the largest of a cell.
        cell: its name.
        cells: the mean absolute difference of every cell.
    """

    score: float
    worst: float
    cell: Cell
    cells: dict[Cell, float]


def stability(values: Mapping[tuple[Cell, Any], float], default: Hashable) -> Stability[Cell]:
    """Give the mean absolute difference score (MAD-S) of one method and one metric.

    mean over cells c of the mean over settings h of |m(c, h) - m(c, h0)|. Use neighbouring
    settings, one step away in one field, and measure accuracy and attack success apart. The score
    is named by Abad et al. 2025 (SoK: The Last Line of Defense); this formula is our own reading of
    the name, so figures cannot be compared with theirs.

    Args:
        values: m(c, h) by (cell, setting).
        default: h0, as it stands in `values`; settings may differ between cells.

    Raises:
        MethodError: where a cell lacks the default or any other setting, or a value is missing.
    """
    moved: dict[Cell, list[float]] = {}
    for (cell, setting), value in values.items():
        if (cell, default) not in values:
            raise MethodError(
                f"cell {cell!r} lacks the default setting {default!r} to compare with; "
                "measure it or leave the cell out"
            )
        if isnan(value):
            raise MethodError(
                f"cell {cell!r} has no number at {setting!r}; leave the pair out of the mapping"
            )
        gaps = moved.setdefault(cell, [])
        if setting != default:
            gaps.append(abs(value - values[cell, default]))
    alone = [cell for cell, gaps in moved.items() if not gaps]
    if alone or not moved:
        raise MethodError(
            "stability needs another setting than the default in every cell, found none in "
            f"{alone[:5] or 'an empty mapping'}; measure a neighbouring setting there"
        )
    cells = {cell: sum(gaps) / len(gaps) for cell, gaps in moved.items()}
    worst = max(cells, key=lambda cell: cells[cell])
    return Stability(sum(cells.values()) / len(cells), cells[worst], worst, cells)
