"""The columns of a table: what each holds, and how a structured array says so.

Axes: n rows, d columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mithridate.core.errors import DataError, MethodError

Kind = Literal["number", "integer", "category"]

DTYPES: dict[str, Any] = {"number": np.float64, "integer": np.int64, "category": object}
"""What a field of each kind holds."""

Table = np.ndarray[Any, Any]
"""Rows of a table: a structured array [n]."""

SHOWN = 5
"""Names that a message quotes."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: As the field of the structured array is called.
        kind: "number" for float64, where NaN is a missing value; "integer" for int64; "category"
            for str, where "" is a missing value.
    """

    name: str
    kind: Kind

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or self.kind not in get_args(Kind):
            raise MethodError(
                f"a column has a name and a kind among {', '.join(get_args(Kind))}; found "
                f"{self.name!r} and {self.kind!r}"
            )


def column_of(given: Column | Mapping[str, Any]) -> Column:
    """Give a column, also one that was kept as JSON."""
    return given if isinstance(given, Column) else Column(**given)


def is_table(inputs: Any) -> bool:
    """Whether these are rows of a table: a structured array of numbers, integers and objects."""
    if not isinstance(inputs, np.ndarray) or inputs.ndim != 1 or not inputs.dtype.fields:
        return False
    return all(_kind(inputs.dtype[name]) for name in inputs.dtype.names or ())


def _kind(held: np.dtype[Any]) -> str:
    """The kind of a field, "" where there is none."""
    return next((kind for kind, dtype in DTYPES.items() if held == np.dtype(dtype)), "")


def columns_of(inputs: Table) -> tuple[Column, ...]:
    """Say what the fields of a structured array hold.

    Raises:
        DataError: where these are no rows of a table.
    """
    check(inputs)
    names = inputs.dtype.names or ()
    return tuple(Column(name, _kind(inputs.dtype[name])) for name in names)  # type: ignore[arg-type]


def dtype_of(columns: Sequence[Column]) -> np.dtype[Any]:
    """Give the type of a structured array of such columns."""
    return np.dtype([(column.name, DTYPES[column.kind]) for column in columns])


def check(inputs: Any) -> None:
    """Raise DataError unless these are rows of a table."""
    if not is_table(inputs):
        raise DataError(
            "rows of a table must be a structured array[n] with fields of float64, int64 or object "
            f"(str), found {type(inputs).__name__} {getattr(inputs, 'dtype', '')} "
            f"{list(getattr(inputs, 'shape', []))}; numpy.empty(n, dtype=[('bytes', 'i8'), "
            "('protocol', object)]) makes one"
        )


def texts_of(inputs: Table, name: str) -> NDArray[Any]:
    """Give the cells of a category, object[n] of str.

    Raises:
        DataError: where one is no str.
    """
    cells: NDArray[Any] = inputs[name]
    for row, cell in enumerate(cells):
        if not isinstance(cell, str):
            raise DataError(
                f"the column {name!r} holds categories as str, found {type(cell).__name__} in row "
                f'{row}; write it as a text, or "" where it is missing'
            )
    return cells


def arranged(inputs: Table, columns: Sequence[Column]) -> Table:
    """Give the fields of a table in the order of the columns, which it must all have.

    Rows are read by name: in a table with its columns in another order, reading by position would
    take one for the other.

    Raises:
        DataError: where a column is missing, strange, or holds categories for numbers.
    """
    there = {c.name: c.kind for c in columns_of(inputs)}
    wanted = {c.name: c.kind for c in columns}
    missing = [name for name in wanted if name not in there]
    strange = [name for name in there if name not in wanted]
    if missing or strange:
        raise DataError(
            f"expected the {len(wanted)} columns that the others have; missing: "
            f"{missing[:SHOWN] or 'none'}; not expected: {strange[:SHOWN] or 'none'}; read all "
            "tables with the same columns"
        )
    for name, kind in wanted.items():
        if (kind == "category") != (there[name] == "category"):
            raise DataError(
                f"the column {name!r} holds {kind} values in one table and {there[name]} values in "
                "the other; say what it holds, or mend the cells"
            )
    return inputs if list(there) == list(wanted) else inputs[list(wanted)]


def differing(before: Table, after: Table) -> NDArray[np.bool_]:
    """Say which values of rows differ, bool[n, d]; two that are missing do not.

    Raises:
        DataError: where the two do not have the same rows or columns.
    """
    check(before)
    check(after)
    if len(before) != len(after):
        raise DataError(
            "rows can only be compared with their changed twins: expected "
            f"{len(before)} rows, found {len(after)}; drop the rows that have no twin"
        )
    columns = columns_of(before)
    others = arranged(after, columns)
    moved = np.zeros((len(before), len(columns)), dtype=bool)
    for i, column in enumerate(columns):
        first, second = before[column.name], others[column.name]
        moved[:, i] = first != second
        if column.kind == "number":
            moved[:, i] &= ~(np.isnan(first) & np.isnan(second.astype(np.float64)))
    return moved
