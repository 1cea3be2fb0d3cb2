"""How rows of a table look on a page: columns and values, those that tell suspects first.

Axes: n rows.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from mithridate.core.showing import EXCERPT, spread_evenly
from mithridate.domains.table.columns import columns_of

VALUES = 10
"""Rows of the table of values that tell suspects from the rest."""

CELL = 40
"""Characters shown of a value."""


def show(inputs: Any) -> ShownRows:
    """Show raw rows."""
    return ShownRows(inputs)


@dataclass(frozen=True, eq=False)
class ShownRows:
    """Rows of a table, written as "column = value" one after the other."""

    inputs: Any
    kind: ClassVar[str] = "values"

    def room(self, classes: int) -> int:
        """At most 12: rows are read, not glanced at."""
        return 12

    def card(self, row: int, contrast: dict[str, Any]) -> dict[str, Any]:
        """Give a row in pieces (text, whether it is telling), the telling ones first.

        before, after: characters left out.
        """
        telling = {entry["word"] for entry in contrast.get("words", ()) if entry["telling"]}
        cells = sorted(self._cells(row), key=lambda cell: cell not in telling)
        pieces: list[tuple[str, bool]] = []
        room, after = EXCERPT, 0
        for cell in cells:
            after += len(cell) + 2 if room < len(cell) else 0
            if room >= len(cell):
                pieces += [(cell, cell in telling), ("; ", False)]
                room -= len(cell) + 2
        return {"pieces": pieces[:-1], "before": 0, "after": after}

    def contrast(self, suspects: torch.Tensor, rest: torch.Tensor) -> dict[str, Any]:
        """List the values that suspects hold far more often than the rest of the class.

        log((a + 1/2) / (n - a + 1/2)) - log((b + 1/2) / (m - b + 1/2)) for a value in a of n
        suspects and b of m others, ordered by this over its standard error. A value is telling
        where this is above 3 and a fifth of the suspects hold it.
        """
        others = spread_evenly(rest)
        if not len(suspects) or not len(others):
            return {}
        inside, outside = self._holding(suspects), self._holding(others)
        n, m = len(suspects), len(others)
        ranked: list[tuple[float, str, dict[str, Any]]] = []
        for cell, a in inside.items():
            counts = (a + 0.5, n - a + 0.5, outside[cell] + 0.5, m - outside[cell] + 0.5)
            odds = math.log(counts[0] / counts[1]) - math.log(counts[2] / counts[3])
            surprise = odds / math.sqrt(sum(1 / count for count in counts))
            if a >= 2 and surprise > 2:
                entry = {"word": cell, "suspects": a / n, "rest": outside[cell] / m}
                entry |= {"log_odds": odds, "telling": odds > 3 and a > n / 5}
                ranked.append((-surprise, cell, entry))
        return {"words": [entry for _, _, entry in sorted(ranked, key=lambda f: f[:2])[:VALUES]]}

    def _holding(self, rows: torch.Tensor) -> Counter[str]:
        """How many rows hold each value."""
        return Counter(cell for row in rows.tolist() for cell in self._cells(row))

    def _cells(self, row: int) -> list[str]:
        """The values of a row as they are written."""
        columns = columns_of(self.inputs[row : row + 1])
        return [f"{c.name[:CELL]} = {_written(self.inputs[c.name][row])}" for c in columns]


def _written(value: Any) -> str:
    """A value, cut where it is long."""
    if isinstance(value, str):
        return (value[:CELL] + "..." if len(value) > CELL else value) or "(missing)"
    return "(missing)" if np.isnan(value) else f"{value:.6g}"
