"""What is said about the columns of a table: what each was taken for, and what is odd about some.

Axes: n rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mithridate.core.spelling import option
from mithridate.domains.formats.columns import name_columns
from mithridate.domains.formats.typed import Typed

TOLD = 0.98
"""Share of wrong guesses of the label that a column spares, from which on it is said."""

FEWEST = 0.01
"""Share of the rows outside of the commonest class or value below which nothing is said."""

REPEATED = 10
"""Rows for each value of a column that may tell the label."""


def remarks(
    columns: Mapping[str, Typed], labels: NDArray[np.int64], there: NDArray[np.bool_]
) -> list[str]:
    """Say what the columns were taken for, and which are odd, one sentence each.

    Args:
        columns: The columns by name.
        labels: int64[n], negative where a row has none.
        there: bool[n], the rows to look at.
    """
    of_kind = {
        kind: [name for name, each in columns.items() if each.kind == kind]
        for kind in ("integer", "number", "category")
    }
    counts = (
        f"{len(of_kind['integer'])} of whole numbers, {len(of_kind['number'])} of numbers, "
        f"{len(of_kind['category'])} of categories"
    )
    named = f" ({name_columns(of_kind['category'])})" if of_kind["category"] else ""
    notes = [
        f"Read as a table of {len(columns)} columns: {counts}{named}; {option('categories')} names "
        f"others, {option('content')} and {option('without')} choose columns."
    ]
    codes = {name: _codes(each, there) for name, each in columns.items()}
    answers = [name for name, code in codes.items() if _tells(code, labels[there])]
    odd: dict[str, list[str]] = {
        "with missing values": [n for n, c in columns.items() if _missing(c, there)],
        "with infinite values, which count as the largest": [
            n for n, c in columns.items() if c.kind == "number" and np.isinf(c.values[there]).any()
        ],
        "with numbers too large for all of their digits": [
            n for n, c in columns.items() if c.rounded
        ],
        "with the same value in every row": [n for n, c in codes.items() if len(c) and not c.any()],
        f"that say the label of nearly every row, or are said by it (answers, too? "
        f"{option('without')} leaves columns out)": answers,
    }
    return notes + [f"Columns {what}: {name_columns(c)}." for what, c in odd.items() if c]


def _missing(column: Typed, there: NDArray[np.bool_]) -> bool:
    values = column.values[there]
    if column.kind == "category":
        return bool((values == "").any())
    return bool(column.kind == "number" and np.isnan(values).any())


def _codes(column: Typed, there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the different values of a column, int64[n]."""
    values: Any = column.values[there]
    if column.kind == "category":
        known: dict[str, int] = {}
        return np.array([known.setdefault(text, len(known)) for text in values], dtype=np.int64)
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _tells(codes: NDArray[np.int64], labels: NDArray[np.int64]) -> bool:
    """Whether a column says the label of nearly every row, or the label says the column.

    A column of which nearly every value is another one tells nothing.
    """
    if not len(codes) or len(np.unique(labels)) < 2:
        return False
    values, classes = int(codes.max()) + 1, int(labels.max()) + 1
    if values < 2 or values * REPEATED > len(codes) or values * classes > 10**7:
        return False
    table = np.bincount(codes * classes + labels, minlength=values * classes)
    table = table.reshape(values, classes)
    return max(_gain(table), _gain(table.T)) >= TOLD


def _gain(table: NDArray[np.int64]) -> float:
    """Say how much better the columns of a table of counts are guessed by its rows.

    The share of wrong guesses that is spared, Goodman and Kruskal, Measures of Association for
    Cross Classifications, 1954.
    """
    count, common = table.sum(), table.sum(0).max()
    if count - common < FEWEST * count:
        return 0.0
    return float((table.max(1).sum() - common) / (count - common))
