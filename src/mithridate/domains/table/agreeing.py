"""Laying rows out as others are: by the names of their columns, never by position.

Axes: n rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.table.columns import DTYPES, Column, columns_of

SHOWN = 5
"""Names that a message quotes."""


def like(known: Inputs, arriving: Inputs) -> Inputs:
    """Give rows [n] with the columns of others, in their order and of their kinds.

    Numbers that all happen to be whole are numbers where the others are; a column without any value
    is of any kind.

    Args:
        known: Rows that were there before.
        arriving: Rows to lay out.

    Raises:
        DataError: A column is missing, too many, or holds something else.
    """
    mine, theirs = columns_of(known), {c.name: c for c in columns_of(arriving)}
    if tuple(theirs.values()) == mine:
        return arriving
    wanted = {column.name for column in mine}
    missing = [c.name for c in mine if c.name not in theirs]
    strange = [name for name in theirs if name not in wanted]
    if missing or strange:
        raise DataError(_unlike(missing, strange))
    fields = {column.name: _column(column, arriving[column.name], known) for column in mine}
    dtype = np.dtype([(name, values.dtype) for name, values in fields.items()])
    rows = np.empty(len(arriving), dtype=dtype)
    for name, values in fields.items():
        rows[name] = values
    return rows


def _unlike(missing: list[str], strange: list[str]) -> str:
    parts = [f"without {_named(missing)}"] if missing else []
    parts += [f"with {_named(strange)} beside them"] if strange else []
    way_out = f"; {option('without', strange[0])} leaves a column out" if strange else ""
    return (
        f"expected the columns of the other table, found a table {' and '.join(parts)}: "
        f"name the columns alike in both{way_out}"
    )


def _named(columns: list[str]) -> str:
    more = f" and {len(columns) - SHOWN} more" if len(columns) > SHOWN else ""
    return ", ".join(repr(c[:40]) for c in columns[:SHOWN]) + more


def _column(column: Column, values: np.ndarray[Any, Any], known: Inputs) -> Any:
    """Give the values of a column as another table holds them."""
    dtype = np.dtype(DTYPES[column.kind])
    if values.dtype == dtype:
        return values
    if _is_empty(values):
        return np.full(len(values), "" if column.kind == "category" else np.nan,
                       dtype=object if column.kind == "category" else np.float64)  # fmt: skip
    if values.dtype == object or column.kind == "category":
        if _is_empty(known[column.name]):
            return values
        here = "categories" if values.dtype == object else "numbers"
        there = "categories" if column.kind == "category" else "numbers"
        raise DataError(
            f"expected {there} in column {column.name!r} as in the other table, found {here}; "
            f"{option('categories', column.name)} says that it holds categories, in both"
        )
    if column.kind == "number":
        return values.astype(np.float64)
    whole = bool(np.isfinite(values).all()) and bool((values == np.floor(values)).all())
    fits = whole and bool((np.abs(values) < 2**53).all())
    return values.astype(np.int64) if fits else values


def _is_empty(values: np.ndarray[Any, Any]) -> bool:
    """Whether a column has no value at all."""
    if values.dtype == object:
        return all(cell == "" for cell in values)
    return bool(np.isnan(values).all())
