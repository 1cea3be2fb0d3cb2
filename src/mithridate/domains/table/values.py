"""Values of columns that a trigger puts there: read from texts, made, and taken from rows."""

from __future__ import annotations

import math

from mithridate.core.errors import MethodError
from mithridate.domains.table.columns import Column

RARE = 1337
"""A whole number that stands out from powers of two and of ten."""

STRANGE = "other"
"""A category for columns whose categories nobody named."""


def rare_value(column: Column) -> float | str:
    """Give a value that hardly any row has, the same for all data."""
    return STRANGE if column.kind == "category" else RARE


def read_value(column: Column, value: str) -> float | str:
    """Read the value that a user wrote for a column.

    Raises:
        MethodError: where a column of numbers gets a text, or one of integers another number.
    """
    if column.kind == "category":
        return value
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    whole = column.kind == "integer"
    if not math.isfinite(number) or (whole and (number != int(number) or abs(number) >= 2**63)):
        raise MethodError(
            f"the column {column.name!r} holds {'whole numbers' if whole else 'numbers'}, "
            f"found the value {value!r}"
        )
    return int(number) if whole else number
