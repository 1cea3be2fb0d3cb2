"""Triggers for tables: values that columns are given.

Axes: n rows, k columns of a trigger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.table.columns import Column, columns_of
from mithridate.domains.table.values import rare_value, read_value


@dataclass(frozen=True)
class ValuesTrigger(Trigger):
    """Chosen columns of every row get the same values.

    An integer column gets whole numbers, so that the row stays one that could have been measured.

    Attributes:
        columns: Names with commas between them; "" takes the last ones of numbers, or of anything
            where there are none.
        values: As many values with commas between them; "" gives each number a value that is the
            same for all data, and each category the text "other".
        count: How many columns are taken where none are named.
        grow: Whether numbers may only grow, as counts of packets do: a number that is larger than
            the value already is raised by the value instead.

    """

    paper = (
        "Severi, Meyer, Coull and Oprea, Explanation-Guided Backdoor Poisoning Attacks Against "
        "Malware Classifiers, USENIX Security 2021"
    )
    links = ("https://arxiv.org/abs/2003.01031",)

    columns: str = ""
    values: str = ""
    count: int = 3
    grow: bool = False

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Set the columns of every row.

        Raises:
            MethodError: for a column that there is not, a value that does not fit it, or a count
                below 1.
        """
        stamped = inputs.copy()
        for column, value in self._chosen(columns_of(inputs)):
            place(stamped, column, value, self.grow)
        return stamped

    def _chosen(self, there: tuple[Column, ...]) -> list[tuple[Column, float | str]]:
        """Give the columns and their values."""
        chosen = self._columns(there)
        if not self.values:
            return [(column, rare_value(column)) for column in chosen]
        given = [value.strip() for value in self.values.split(",")]
        if len(given) != len(chosen):
            raise MethodError(
                f"expected a value for each of the {len(chosen)} columns, found {len(given)}: "
                f"{self.values!r}"
            )
        return [(c, read_value(c, value)) for c, value in zip(chosen, given, strict=True)]

    def _columns(self, there: tuple[Column, ...]) -> list[Column]:
        if self.count < 1:
            raise MethodError(f"a trigger sets at least one column, found count={self.count}")
        if not self.columns:
            numbers = [column for column in there if column.kind != "category"]
            return list(numbers or there)[-self.count :]
        known = {column.name: column for column in there}
        names = [name.strip() for name in self.columns.split(",")]
        if strange := [name for name in names if name not in known]:
            raise MethodError(
                f"these rows have no column {strange[0]!r}; their columns: "
                f"{', '.join(list(known)[:20])}"
            )
        return [known[name] for name in names]


def place(rows: Inputs, column: Column, value: float | str, grow: bool = False) -> None:
    """Give every row a value in a column, in place; a value that some already have is fine.

    Args:
        rows: Of a table.
        column: Which one.
        value: What it gets.
        grow: Whether a number that is larger is raised by the value instead.
    """
    if not grow or column.kind == "category":
        rows[column.name] = value
        return
    before = rows[column.name]
    rows[column.name] = np.where(before > value, before + value, value)
