"""How texts come out of tables and out of requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mithridate.core.errors import DataError
from mithridate.domains.formats.columns import choose_texts
from mithridate.domains.formats.source import LIMITS, Reading
from mithridate.domains.formats.texts import gather
from mithridate.domains.registry import Table

__all__ = ["choose_columns", "gather", "requests"]


def choose_columns(table: Table, reading: Reading) -> tuple[str, ...]:
    """Choose the column of texts, or those that were asked for and are joined."""
    columns = [
        c for c in table.columns if table.kinds[c] not in ("image", "sound", "date", "other")
    ]
    columns += [c for c in table.columns if table.kinds[c] == "other" and _has_texts(table, c)]
    if not any(table.samples.get(c) for c in columns if c != table.label):
        return ()
    return choose_texts(columns, table.label, table.kinds, reading)


def _has_texts(table: Table, column: str) -> bool:
    """Whether a column of mixed cells begins with some texts; the others are named one by one."""
    return any(isinstance(cell, str) for cell in table.samples.get(column, ()))


def requests(form: tuple[int, ...]) -> TextRequests:
    """Read texts of any length."""
    return TextRequests()


@dataclass(frozen=True)
class TextRequests:
    """Reads texts as strings of JSON."""

    media: tuple[str, ...] = ()

    def from_body(self, body: bytes) -> str:
        """Refuse: no content type is one text."""
        raise DataError("expected a text in JSON")

    def from_json(self, value: Any) -> str:
        """Read a string."""
        if not isinstance(value, str):
            raise DataError("expected a text as a string")
        if len(value) > LIMITS.text:
            raise DataError(f"expected a text of at most {LIMITS.text} characters")
        return value

    def stack(self, inputs: Sequence[str]) -> np.ndarray[Any, Any]:
        """Put texts into one column object[n]."""
        batch = np.empty(len(inputs), dtype=object)
        batch[:] = inputs
        return batch
