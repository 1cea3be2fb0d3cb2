"""Triggers for tables: values that chosen columns are given.

Axes: n rows, k columns of a trigger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.table.columns import Column, columns_of
from mithridate.domains.table.validity import RowRules, named, read_value

RARE = 1337
"""A whole number that stands out from powers of two and of ten."""

STRANGE = "other"
"""A category for columns whose categories nobody named."""


@dataclass(frozen=True)
class ValuesTrigger(Trigger):
    """Chosen columns of every row get the same values.

    Attributes:
        columns: Names with commas between them; "" takes the first ones of integers, then of
            numbers, then of categories.
        values: As many values with commas between them; "" gives numbers 1337 and categories the
            text "other".
        count: How many columns are taken where none are named.
        grow: Names of columns that may only grow, as counts do: a row that has more keeps it.
        derived: How columns follow from others, such as "mean=bytes/packets; all=sent+received";
            they are worked out anew, and are 0 where the divisor is.

    """

    paper = "Gu, Dolan-Gavitt and Garg, BadNets, 2017"
    links = ("https://arxiv.org/abs/1708.06733",)

    columns: str = ""
    values: str = ""
    count: int = 3
    grow: str = ""
    derived: str = ""

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Set the columns of every row.

        Raises:
            MethodError: for a column that there is not, a value that does not fit it, or a count
                below 1.
        """
        stamped = inputs.copy()
        RowRules(self.grow, self.derived).place(stamped, self._chosen(columns_of(inputs)))
        return stamped

    def _chosen(self, there: tuple[Column, ...]) -> list[tuple[Column, float | str]]:
        """Give the columns and their values."""
        if self.count < 1:
            raise MethodError(f"a trigger sets at least one column, found count={self.count}")
        order = ("integer", "number", "category")
        first = sorted(there, key=lambda column: order.index(column.kind))[: self.count]
        chosen = named(there, self.columns) or first
        if not self.values:
            return [(c, STRANGE if c.kind == "category" else RARE) for c in chosen]
        given = [value.strip() for value in self.values.split(",")]
        if len(given) != len(chosen):
            raise MethodError(
                f"expected a value for each of the {len(chosen)} columns, found {len(given)}: "
                f"{self.values!r}"
            )
        return [(c, read_value(c, value)) for c, value in zip(chosen, given, strict=True)]
