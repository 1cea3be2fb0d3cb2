"""Which rows are copies of each other: those with the same value in every column.

A value that is missing equals one that is missing, and -0 equals 0. Axes: n rows, d columns.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Inputs
from mithridate.core.fingerprint import scattered
from mithridate.domains.table.columns import columns_of, differing, texts_of


def signature(rows: Inputs) -> NDArray[np.float64]:
    """Give points float64[n, 4] that equal rows share; those of others are far apart."""
    columns = columns_of(rows)
    numbers = np.zeros((len(rows), len(columns)), dtype=np.float64)
    codes = np.zeros((len(rows), len(columns)), dtype=np.int64)
    texts: list[list[str]] = []
    for i, column in enumerate(columns):
        if column.kind == "category":
            texts.append(list(texts_of(rows, column.name)))
        elif column.kind == "integer":
            codes[:, i] = rows[column.name]
        else:
            numbers[:, i] = np.where(np.isnan(rows[column.name]), np.nan, rows[column.name] + 0.0)
    words = zip(*texts, strict=True) if texts else ((),) * len(rows)
    return scattered(
        number.tobytes() + code.tobytes() + repr(word).encode("utf-8", "surrogatepass")
        for number, code, word in zip(numbers, codes, words, strict=True)
    )


def alike(first: Inputs, second: Inputs) -> torch.Tensor:
    """Say which pairs of rows are copies of each other, bool[n]."""
    return torch.from_numpy(~differing(first, second).any(1))
