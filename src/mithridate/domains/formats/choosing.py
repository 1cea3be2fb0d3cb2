"""Asking the domains in turn which columns of a table hold their inputs, and reading those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
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
    if reading.domain != "auto":
        return reading.domain, _of_domain(table, reading, format)
    for name in DOMAINS:
        taken = reader_of(name).choose_columns(table, reading)
        if taken:
            return name, taken
    raise DataError(
        f"{str(reading.root)!r}: expected a column of images (bytes) or texts, found "
        f"{name_columns(described)}; {option('content')} names the columns to read"
    )


def gather(
    domain: str, taken: Sequence[str], column: Callable[[str], Iterable[Any]],
    join: Callable[[], Iterable[Any]], labels: Any, names: Sequence[str], reading: Reading,
) -> tuple[Any, Any]:  # fmt: skip
    """Read the inputs of a domain from the columns that were chosen.

    Args:
        domain: by its name.
        taken: the columns.
        column: gives the cells of one, [n].
        join: gives one cell for each row, made of all of them, [n].
        labels: int64[n], negative where a row has none.
        names: of the rows, [n].
        reading: what was asked for, and where notes go.

    Returns:
        Raw inputs, and the positions of their rows, int64.
    """
    reader = reader_of(domain)
    together = getattr(reader, "gather_columns", None)
    if together is not None:
        read: tuple[Any, Any] = together(taken, column, labels, names, reading)
        return read
    cells = column(taken[0]) if len(taken) == 1 else join()
    return reader.gather(cells, labels, names, reading)


def joined(domain: str, taken: Sequence[str]) -> tuple[str, ...]:
    """Give the columns of which each input is made, where there are several or may be."""
    several = len(taken) > 1 or hasattr(reader_of(domain), "gather_columns")
    return tuple(taken) if several else ()


def _of_domain(table: Table, reading: Reading, format: str) -> tuple[str, ...]:
    """Choose the columns of the domain that was asked for, or say which domain has some."""
    try:
        taken = reader_of(reading.domain).choose_columns(table, reading)
    except DataError:
        _refuse_of_another(table, reading, format)
        raise
    if not taken:
        without = f"{format} without a column of it"
        _refuse_of_another(table, reading, without)
        raise DataError(
            f"{str(reading.root)!r}: expected data of domain {reading.domain!r}, found {without}; "
            "leave the domain out or give other data"
        )
    return taken


def _refuse_of_another(table: Table, reading: Reading, format: str) -> None:
    """Raise DataError where another domain than the one asked for has columns here."""
    for name in DOMAINS:
        if name != reading.domain and _has_some(name, table, reading):
            reading.expect(name, format)


def _has_some(domain: str, table: Table, reading: Reading) -> bool:
    try:
        return bool(reader_of(domain).choose_columns(table, reading))
    except DataError:
        return False
