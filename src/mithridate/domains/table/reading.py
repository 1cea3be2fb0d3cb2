"""Rows of tables are read by their own reader, which is asked nothing here yet."""

from __future__ import annotations

from mithridate.domains.formats.source import Reading
from mithridate.domains.registry import Table


def choose_columns(table: Table, reading: Reading) -> tuple[str, ...]:
    """Choose none: the columns of a table are read together."""
    return ()
