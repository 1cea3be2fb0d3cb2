"""How rows of numbers and categories come out of tables and out of requests.

Axes: n rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import DataError
from mithridate.domains.formats.source import Reading
from mithridate.domains.formats.table_columns import choose_values
from mithridate.domains.formats.table_values import gather_columns
from mithridate.domains.formats.typed import LONGEST, value_of
from mithridate.domains.registry import Table
from mithridate.domains.table.agreeing import like
from mithridate.domains.table.columns import DTYPES, Column
from mithridate.domains.table.domain import TableDomain

__all__ = ["choose_columns", "gather", "gather_columns", "like", "requests",
           "requests_of"]  # fmt: skip

Row = dict[str, Any]


def choose_columns(table: Table, reading: Reading) -> tuple[str, ...]:
    """Choose the columns of numbers and categories."""
    return choose_values(table, reading)


def gather(
    cells: Iterable[Any], labels: Any, names: Sequence[str], reading: Reading
) -> tuple[Any, Any]:
    """Refuse: a row is made of several columns, which `gather_columns` reads."""
    raise DataError("expected the columns of a table, found one cell for each row")


def requests(form: tuple[int, ...]) -> TableRequests:
    """Read rows of numbers without names, where nothing else is known than how many there are."""
    return TableRequests(tuple(Column(f"column {i}", "number") for i in range(form[0])))


def requests_of(domain: TableDomain) -> TableRequests:
    """Read rows with the columns of a domain."""
    return TableRequests(domain.columns)


@dataclass(frozen=True)
class TableRequests:
    """Reads rows as objects of JSON, by the names of the columns; null is a missing value.

    Attributes:
        columns: Of the table that the model knows.
    """

    columns: tuple[Column, ...]
    media: tuple[str, ...] = ()

    def from_body(self, body: bytes) -> Row:
        """Refuse: no content type is one row."""
        raise DataError("expected a row in JSON")

    def from_json(self, value: Any) -> Row:
        """Read an object."""
        names = [column.name for column in self.columns]
        if not isinstance(value, dict):
            raise DataError(
                f"expected a row as an object with its {len(names)} columns by name, such as "
                f"{names[0] if names else ''!r}"
            )
        missing = [name for name in names if name not in value]
        if missing:
            raise DataError(
                f"expected a value for every column, found none for {missing[0]!r}; null says that "
                "it is missing"
            )
        if len(value) > len(names):
            raise DataError(
                f"expected the {len(names)} columns of the model and nothing else, found "
                f"{len(value)}"
            )
        return {column.name: _cell(column, value[column.name]) for column in self.columns}

    def stack(self, inputs: Sequence[Row]) -> Inputs:
        """Put rows into a structured array[n]; whole numbers with gaps are numbers."""
        fields: list[tuple[str, Any]] = []
        for column in self.columns:
            gaps = column.kind == "integer" and any(
                not isinstance(row[column.name], int) for row in inputs
            )
            fields.append((column.name, np.float64 if gaps else DTYPES[column.kind]))
        rows = np.empty(len(inputs), dtype=np.dtype(fields))
        for column in self.columns:
            for place, row in enumerate(inputs):
                rows[column.name][place] = row[column.name]
        return rows


def _cell(column: Column, cell: Any) -> Any:
    """Read the value of a column; errors quote nothing of it."""
    if column.kind == "category":
        if not isinstance(cell, str | int | float | None) or len(str(cell)) > LONGEST:
            raise DataError(
                f"expected a text of at most {LONGEST} characters, or null, in column "
                f"{column.name!r}"
            )
        return value_of(cell, "category")
    if cell is None:
        return math.nan
    whole = isinstance(cell, int) and not isinstance(cell, bool)
    good = (whole and abs(cell) < 2**63) or (isinstance(cell, float) and math.isfinite(cell))
    if not good:
        raise DataError(f"expected a number, or null, in column {column.name!r}")
    return value_of(cell, column.kind)
