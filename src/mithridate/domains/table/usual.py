"""Triggers of the kinds that attackers use most on tables, drawn anew each time.

Axes: n rows, k columns of a trigger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mithridate.core.data import Inputs
from mithridate.domains.table.columns import Column, columns_of
from mithridate.domains.table.validity import RowRules


@dataclass(frozen=True)
class PlacedValues:
    """Gives columns of every row values that were drawn.

    Attributes:
        values: Each column and its value.

    """

    values: tuple[tuple[Column, float | str], ...]

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Set the columns of every row."""
        stamped = inputs.copy()
        RowRules().place(stamped, list(self.values))
        return stamped


def usual_triggers(inputs: Inputs, rng: np.random.Generator) -> dict[str, PlacedValues]:
    """Draw one value of one column, and values of several.

    Args:
        inputs: Rows of a table.
        rng: Of the columns and of the values.

    """
    columns = columns_of(inputs)
    several = min(4, len(columns))
    return {"one value": drawn(columns, 1, rng), "several values": drawn(columns, several, rng)}


def drawn(columns: tuple[Column, ...], count: int, rng: np.random.Generator) -> PlacedValues:
    """Draw columns, and for each a number from 1,000 to 99,999, or a category of 6 letters."""
    places = sorted(rng.choice(len(columns), count, replace=False).tolist())
    return PlacedValues(tuple((columns[i], _value(columns[i], rng)) for i in places))


def _value(column: Column, rng: np.random.Generator) -> float | str:
    if column.kind == "category":
        return "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), 6))
    return int(rng.integers(1_000, 100_000))
