"""How far rows of a table were changed.

Axes: n rows, d columns.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Inputs
from mithridate.domains.table.columns import Column, Table, arranged, columns_of, differing
from mithridate.domains.table.scale import MISSING, scaled

LEAST = 0.05
"""The least spread of a column, on the scale of prepared numbers."""


def difference(before: Inputs, after: Inputs) -> dict[str, torch.Tensor]:
    """Compare rows with their changed twins, float64[n] for each measure.

    columns: how many hold another value, larger is easier to notice; distance: the mean over all
    columns of how far the value moved, in mean deviations of that column in `before` on the scale
    of prepared numbers, at most 10, and 1 for another category or a value that went missing or came
    up, larger is easier to notice; outside: columns whose new value lies outside the range of that
    column in `before`, or is a category that it does not hold, larger is easier to notice.

    Raises:
        DataError: where the two do not have the same rows or columns.
    """
    moved = differing(before, after)
    columns = columns_of(before)
    others = arranged(after, columns)
    distance, outside = np.zeros((2, len(before)))
    for column, changed in zip(columns, moved.T, strict=True):
        if changed.any():
            how_far, beyond = _measured(before, others, column)
            distance += np.where(changed, how_far, 0.0) / len(columns)
            outside += changed & beyond
    measures = {"columns": moved.sum(1).astype(np.float64), "distance": distance}
    return {k: torch.from_numpy(v) for k, v in {**measures, "outside": outside}.items()}


def _measured(
    before: Table, after: Table, column: Column
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Say how far the values of a column moved, and which lie where none lay before."""
    first, second = before[column.name], after[column.name]
    if column.kind == "category":
        known = set(first)
        return np.ones(len(first)), np.array([text not in known for text in second], dtype=bool)
    old, new = scaled(first), scaled(second)
    there = old[old > MISSING]
    if not len(there):
        return np.ones(len(first)), np.ones(len(first), dtype=bool)
    spread = max(LEAST, float(np.abs(there - np.median(there)).mean()))
    both = (old > MISSING) & (new > MISSING)
    how_far = np.where(both, np.minimum(np.abs(new - old) / spread, 10.0), 1.0)
    beyond = ((new < there.min()) | (new > there.max())) & (
        (new > MISSING) | (len(there) == len(old))
    )
    return how_far, beyond
