"""What keeps a stamped row one that could have been measured.

Integers stay integers, columns that count may only grow, and columns that are worked out from
others are worked out anew. Axes: n rows.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from mithridate.core.errors import MethodError
from mithridate.domains.table.columns import Column, Table, columns_of

SHOWN = 20
"""Names of columns that a message quotes."""

WORKED_OUT = re.compile(r"\s*(.+?)\s*=\s*(.+?)\s*([-+*/])\s*(.+?)\s*")
"""How a column follows from two others."""


@dataclass(frozen=True)
class RowRules:
    """Rules that stamped rows keep.

    Attributes:
        grow: Names of columns that may only grow, with commas between them.
        derived: How columns follow from others, such as "mean=bytes/packets; all=sent+received";
            where the divisor is 0 they are 0.
    """

    grow: str = ""
    derived: str = ""

    def place(self, rows: Table, values: list[tuple[Column, float | str]]) -> None:
        """Give all rows these values, in place.

        Raises:
            MethodError: where a rule names a column that there is not, or one of categories.
        """
        there = columns_of(rows)
        growing = {column.name for column in named(there, self.grow)}
        for column, value in values:
            if column.name in growing and column.kind != "category":
                before = rows[column.name]
                rows[column.name] = np.where(before > value, before, value)
            else:
                rows[column.name] = value
        for rule in filter(str.strip, self.derived.split(";")):
            _work_out(rows, there, rule)


def named(there: tuple[Column, ...], names: str) -> list[Column]:
    """Give the columns of such names, with commas between them.

    Raises:
        MethodError: where there is none of a name.
    """
    known = {column.name: column for column in there}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    if strange := [name for name in wanted if name not in known]:
        raise MethodError(
            f"these rows have no column {strange[0]!r}; their columns: "
            f"{', '.join(list(known)[:SHOWN])}"
        )
    return [known[name] for name in wanted]


def _work_out(rows: Table, there: tuple[Column, ...], rule: str) -> None:
    """Work a column out anew by a rule such as "mean=bytes/packets"."""
    parts = WORKED_OUT.fullmatch(rule)
    if parts is None:
        raise MethodError(
            f"expected a rule such as mean=bytes/packets, with one of + - * /, found {rule!r}"
        )
    whole, first, sign, second = parts.groups()
    target, one, other = (named(there, name)[0] for name in (whole, first, second))
    if category := next((c for c in (target, one, other) if c.kind == "category"), None):
        raise MethodError(f"the column {category.name!r} holds categories, and {rule!r} numbers")
    a, b = rows[one.name].astype(np.float64), rows[other.name].astype(np.float64)
    made = {"+": a + b, "-": a - b, "*": a * b, "/": a / np.where(b == 0, np.inf, b)}[sign]
    rows[target.name] = np.rint(made) if target.kind == "integer" else made


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
            f"the column {column.name!r} holds {'whole numbers' if whole else 'numbers'}, found "
            f"the value {value!r}"
        )
    return int(number) if whole else number
