"""Tables beside pictures: rows of CSV, TSV, JSON lines and Parquet, on a disk or in an archive.

Axes: n rows.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import raised
from mithridate.domains.formats.cells import is_text, plain, weights
from mithridate.domains.formats.columns import unique
from mithridate.domains.formats.containers import ArchiveEntry
from mithridate.domains.formats.parquet import ParquetShard
from mithridate.domains.formats.source import Reading
from mithridate.domains.formats.walk import Entry, contents, name_path, why

SUFFIXES = frozenset({".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"})
HEAD = 2**18
"""Bytes that are looked at to tell whether a table names pictures."""


@dataclass(frozen=True, eq=False)
class NamedRows:
    """A table in memory.

    Attributes:
        name: of the file, as messages show it.
        columns: in order.
        rows: cells by column, [n].
        delimiter: of a delimited file, "" of others.

    """

    name: str
    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    delimiter: str = ""

    def cells(self, column: str) -> list[Any]:
        """Give the cells of a column, [n]."""
        return [row.get(column) for row in self.rows]


def rows_of(entry: Entry, reading: Reading, *, head: bool = False) -> NamedRows:
    """Read a table.

    Args:
        entry: the file.
        reading: what was asked for.
        head: whether its beginning is enough.

    Raises:
        DataError: where it is no whole table.

    """
    name = name_path(entry, reading.root)
    if entry.suffix.lower() == ".parquet":
        return _parquet(entry, name, reading, head=head)
    data = _bytes(entry, name, reading, head=head)
    try:
        text = data.decode("utf-8-sig", "surrogateescape")
        if entry.suffix.lower() in (".jsonl", ".ndjson"):
            return _json_lines(text, name, reading)
        return _delimited(text, name, reading, "\t" if entry.suffix.lower() == ".tsv" else "")
    except (ValueError, RecursionError, csv.Error) as error:
        raise DataError(
            f"{name!r}: expected a table, found broken lines ({error}); write it again"
        ) from None


def _bytes(entry: Entry, name: str, reading: Reading, *, head: bool) -> bytes:
    """Read a file, or its whole lines at the beginning."""
    if isinstance(entry, ArchiveEntry):
        data = contents(entry, reading)
        return data if not head else _whole_lines(data[:HEAD], len(data))
    try:
        size = entry.stat().st_size
        if size > reading.limits.total:
            raise UnsafeData(
                f"{name!r}: expected at most {reading.limits.total} bytes, found {size}; "
                f"{raised('total')}"
            )
        with entry.open("rb") as file:
            data = file.read(HEAD if head else -1)
    except OSError as error:
        raise DataError(f"{name!r}: {why(error)}") from None
    return _whole_lines(data, size) if head else data


def _whole_lines(data: bytes, size: int) -> bytes:
    return data if len(data) == size else data[: data.rfind(b"\n") + 1]


def _delimited(text: str, name: str, reading: Reading, delimiter: str) -> NamedRows:
    first = text.partition("\n")[0]
    # What separates most names in the first line, commas where nothing does
    delimiter = delimiter or max(",;\t|", key=first.count)
    before = csv.field_size_limit(reading.limits.file)
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        columns = tuple(cell.strip() for cell in next(lines, []))
        rows: list[dict[str, Any]] = []
        for cells in lines:
            reading.count(len(rows), name)
            if cells:
                rows.append(dict(zip(columns, cells, strict=False)))
    finally:
        csv.field_size_limit(before)
    return NamedRows(name, columns, rows, delimiter)


def _json_lines(text: str, name: str, reading: Reading) -> NamedRows:
    rows: list[dict[str, Any]] = []
    for line in text.split("\n"):
        if not line.strip():
            continue
        reading.count(len(rows) + 1, name)
        row = json.loads(line)
        if not isinstance(row, dict):
            raise ValueError("a line that is no object")
        rows.append(row)
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return NamedRows(name, columns, rows)


def _parquet(entry: Entry, name: str, reading: Reading, *, head: bool) -> NamedRows:
    """Read the columns of numbers and words; a table that holds its pictures has none to find."""
    if not isinstance(entry, Path):
        raise DataError(f"{name!r}: Parquet is not read inside of an archive; unpack it")
    shard = ParquetShard(entry, reading)
    unique(shard.schema.names, name)
    reading.count(shard.rows, name)
    columns = [field.name for field in shard.schema if _is_plain(field.type)]
    rows: list[dict[str, Any]] = []
    size = 0
    try:
        for batch in shard.batches(columns):
            size += weights(batch)
            if size > reading.limits.total:
                raise UnsafeData(
                    f"{name!r}: expected at most {reading.limits.total} bytes, found more; "
                    f"{raised('total')}"
                )
            rows += batch.to_pylist()
            if head:
                break
    except DataError:
        raise
    except Exception as error:  # readers of hostile bytes raise anything
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{name!r}: expected whole columns, found {reason}; write it again"
        ) from None
    return NamedRows(name, tuple(columns), rows)


def _is_plain(kind: pa.DataType) -> bool:
    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    return is_text(plain(kind)) or any(check(kind) for check in checks)
