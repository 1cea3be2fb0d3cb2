"""Asking the domains in turn which columns of a table hold their inputs."""

from __future__ import annotations

from collections.abc import Sequence

from mithridate.core.errors import DataError
from mithridate.domains.formats.columns import name_columns
from mithridate.domains.formats.source import Reading
from mithridate.domains.registry import DOMAINS, Table, reader_of


def choose_inputs(
    table: Table, reading: Reading, described: Sequence[str], format: str
) -> tuple[str, tuple[str, ...]]:
    """Choose the domain of a table, and the columns of its inputs.

    Args:
        table: its columns and what they hold.
        reading: what was asked for, and where notes go.
        described: the columns as a message names them.
        format: of the file.

    Raises:
        DataError: where no domain finds a column, or not the one that was asked for.
    """
    for name in DOMAINS:
        if reading.domain in ("auto", name):
            taken = reader_of(name).choose_columns(table, reading)
            if taken:
                return name, taken
    if reading.domain != "auto":
        raise DataError(
            f"{str(reading.root)!r}: expected data of domain {reading.domain!r}, found {format} "
            "without a column of it; leave the domain out or give other data"
        )
    raise DataError(
        f"{str(reading.root)!r}: expected a column of images (bytes) or texts, found "
        f"{name_columns(described)}; tables of numbers are not read yet"
    )
