"""Triggers that a defender draws: in tables, values of other rows in one column or in several."""

from __future__ import annotations

import numpy as np

from mithridate.core.data import Inputs
from mithridate.domains.table.columns import columns_of
from mithridate.domains.table.usual import PlacedValues, drawn


def draw(inputs: Inputs, rng: np.random.Generator) -> tuple[PlacedValues, ...]:
    """Draw values that no row may have, and values that rows have, of several columns."""
    columns = columns_of(inputs)
    several = min(4, len(columns))
    places = sorted(rng.choice(len(columns), several, replace=False).tolist())
    rows = rng.integers(0, len(inputs), several)
    held = ((columns[i], inputs[columns[i].name][r]) for i, r in zip(places, rows, strict=True))
    return drawn(columns, several, rng), PlacedValues(tuple(held))
