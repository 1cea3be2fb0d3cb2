"""What kind of rows these are, apart from what they say: how they were measured and written down.

Axes: n rows.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Inputs
from mithridate.domains.table.columns import Table, columns_of, texts_of


def properties(rows: Inputs) -> dict[str, torch.Tensor]:
    """Measure rows of a table, float64[n] for each property, each a share of the columns.

    missing: values that are missing; zeros: numbers that are 0; whole: other numbers without
    decimals; round: those of them that are multiples of 10; own values: values that no other row
    has in that column.
    """
    columns = columns_of(rows)
    counted = dict.fromkeys(
        ("missing", "zeros", "whole", "round", "own values"), np.zeros(len(rows))
    )
    for column in columns:
        here = _of_category if column.kind == "category" else _of_number
        for name, held in here(rows, column.name).items():
            counted[name] = counted[name] + held
    many = max(1, len(columns))
    return {name: torch.from_numpy(held / many).double() for name, held in counted.items()}


def _of_category(rows: Table, name: str) -> dict[str, NDArray[np.bool_]]:
    texts = texts_of(rows, name)
    _, place, count = np.unique(texts.astype(str), return_inverse=True, return_counts=True)
    missing = np.array(texts == "", dtype=bool)
    return {"missing": missing, "own values": (count[place] == 1) & ~missing}


def _of_number(rows: Table, name: str) -> dict[str, NDArray[np.bool_]]:
    numbers = rows[name]
    _, place, count = np.unique(numbers, return_inverse=True, return_counts=True)
    missing, there = np.isnan(numbers), np.isfinite(numbers) & (numbers != 0)
    known = np.where(there, numbers, 0.5)
    return {
        "missing": missing,
        "zeros": numbers == 0,
        "whole": np.mod(known, 1) == 0,
        "round": np.mod(known, 10) == 0,
        "own values": (count[place] == 1) & ~missing,
    }
