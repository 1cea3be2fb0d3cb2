"""Texts in CSV and TSV files, and in others with something between their cells."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import option, raised
from mithridate.domains.formats.choosing import choose_inputs, gather, joined
from mithridate.domains.formats.columns import (
    choose_label,
    name_columns,
    unique,
)
from mithridate.domains.formats.dialect import Head, delimiter_of, describe, head_of, headless
from mithridate.domains.formats.identity import own_ids
from mithridate.domains.formats.kinds import SAMPLE, kind_of
from mithridate.domains.formats.labels import resolve
from mithridate.domains.formats.source import UNLABELLED, Layout, Reading, Source
from mithridate.domains.formats.texts import join, part
from mithridate.domains.formats.typed import cell_of, values_of
from mithridate.domains.formats.walk import name_path as path_shown
from mithridate.domains.formats.walk import unreadable
from mithridate.domains.registry import Table

Record = tuple[int, list[str]]
"""A line number and the cells that end there."""


@dataclass(frozen=True)
class Dialect:
    """How the file was written: the delimiter, whether cells are quoted and columns named."""

    delimiter: str
    quoted: bool = True
    header: bool = True


@dataclass
class Rows:
    """The rows of delimited files: cells [n][column], a name each."""

    dialect: Dialect
    head: Head = field(default_factory=lambda: Head([], 0))
    cells: list[list[str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def column(self, name: str) -> list[str]:
        """All cells of one column."""
        at = self.head.names.index(name)
        return [row[at] for row in self.cells]


def read(files: Sequence[Path], reading: Reading, format: str) -> Source:
    """Read a column of texts, or several that are joined, and a column of labels.

    Cells may be quoted as in RFC 4180. A TSV file in which quotes do not pair is read without
    quoting, as TSV was meant.
    """
    for file in files:
        check_text_file(file, path_shown(file, reading.root), reading)
    first = path_shown(files[0], reading.root)
    rows = Rows(Dialect(delimiter_of(files[0], first, reading, format)))
    for file in files:
        _add(rows, file, reading)
    label, domain, taken = _chosen(rows, reading, format)
    raw = rows.column(label) if label else [UNLABELLED] * len(rows.names)
    labels = resolve(raw, rows.names, reading, None)
    at = [rows.head.names.index(column) for column in taken]
    inputs, kept = gather(
        domain, taken, rows.column, lambda: (join([row[i] for i in at]) for row in rows.cells),
        labels.index, rows.names, reading,
    )  # fmt: skip
    rest = [rows.cells[row] for row in kept]
    layout = Layout(
        file=files[0].name, columns=tuple(rows.head.names), content=taken[0], label=label,
        spelling=labels.spelling, rest=rest, details=rows.dialect,
        joined=joined(domain, taken),
    )  # fmt: skip
    names = [rows.names[row] for row in kept]
    where = {name: i for i, name in enumerate(rows.head.names)}
    own = own_ids(where, {label, *taken}, lambda name: [row[where[name]] for row in rest])
    return reading.finish(
        format, inputs, labels.index[kept], labels.classes, names, layout, own=own
    )  # fmt: skip


def _chosen(rows: Rows, reading: Reading, format: str) -> tuple[str, str, tuple[str, ...]]:
    """Choose the column of labels, the domain, and the columns of its inputs."""
    columns, head = rows.head.names, rows.head
    if head.label and head.content:
        return head.label, "text", (head.content,)
    samples = {c: [row[i] for row in rows.cells[:SAMPLE]] for i, c in enumerate(columns)}
    kinds = {c: kind_of(cells) for c, cells in samples.items()}
    try:
        label = choose_label(columns, reading)
    except DataError as error:
        named = reading.label is not None or reading.columns or not head.lines
        hint = "" if named else f"; {headless()}"
        raise DataError(f"{error}{hint}") from None
    table = Table(tuple(columns), label, kinds, samples)
    return label, *choose_inputs(table, reading, columns, format)


def _add(rows: Rows, path: Path, reading: Reading) -> None:
    """Add the rows of one file to those of the files before it."""
    name = path_shown(path, reading.root)
    records = _parse(rows, path, name, reading)
    if not records:
        raise DataError(f"{name!r}: expected a line of column names, found an empty file")
    if len(records[0][1]) < 2 and not reading.unlabelled:
        raise DataError(f"{name!r}: {describe(records[0][1], rows.dialect.delimiter)}")
    head = rows.head
    if not head.names or head.lines:
        head = head_of([cells for _, cells in records], name, reading)
    columns = head.names
    try:
        unique(columns, name)
    except DataError as error:
        raise DataError(f"{error}; {headless()}") from None
    if rows.head.names and rows.head.names != columns:
        raise DataError(
            f"{name!r}: expected the columns of the other files ({name_columns(rows.head.names)}), "
            f"found {name_columns(columns)}"
        )
    rows.head, rows.dialect = head, replace(rows.dialect, header=bool(head.lines))
    for number, (line, cells) in enumerate(records[head.lines :]):
        row = f"{name} row {number}"
        if len(cells) != len(columns):
            reading.reject(
                row, f"expected {len(columns)} cells, found {len(cells)} in line {line}; correct it"
            )
            continue
        rows.cells.append(cells)
        rows.names.append(row)


def _parse(rows: Rows, path: Path, name: str, reading: Reading) -> list[Record]:
    """Read all records, without quotes where tabs are the delimiter and quotes do not pair."""
    before = csv.field_size_limit(reading.limits.file)
    delimiter = rows.dialect.delimiter
    try:
        try:
            return list(_records(path, name, reading, delimiter, quoted=True))
        except csv.Error:
            if delimiter != "\t":
                raise
        reading.notes.append(f"Quotes do not pair in {name!r}: it was read without quoting.")
        rows.dialect = replace(rows.dialect, quoted=False)
        return list(_records(path, name, reading, delimiter, quoted=False))
    except csv.Error as error:
        raise DataError(
            f"{name!r}: expected cells quoted as in RFC 4180 with {delimiter!r} between them, "
            f"found {error}; write the file again with quoted cells, or name another delimiter "
            f"with {option('delimiter')}"
        ) from None
    except OSError as error:
        raise unreadable(name, error) from None
    finally:
        csv.field_size_limit(before)


def _records(
    path: Path, name: str, reading: Reading, delimiter: str, quoted: bool
) -> Iterator[Record]:
    """Yield the line number and the cells of every row that is not blank."""
    # Bytes that are no UTF-8 become surrogates here, and are found cell by cell later
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        lines = csv.reader(file, delimiter=delimiter, strict=True, quoting=quoting)
        for number, cells in enumerate(lines):
            reading.count(number, name)
            if cells:
                yield lines.line_num, cells


def check_text_file(path: Path, name: str, reading: Reading) -> None:
    """Refuse a text file that is too large or in UTF-16."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(2)
    except OSError as error:
        raise unreadable(name, error) from None
    if size > reading.limits.total:
        raise UnsafeData(
            f"{name!r}: expected at most {reading.limits.total} bytes, found {size}; "
            f"{raised('total')}"
        )
    if start in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{name!r}: expected UTF-8, found UTF-16; save the file as UTF-8")


def _with_input(layout: Layout, row: int, what: Sequence[int], given: Any) -> list[str]:
    """Give the cells of a row with a text, or the values of a table, in its columns."""
    cells = list(layout.rest[row])
    if isinstance(given, np.void):
        for name, (value, kind) in values_of(given).items():
            at = layout.columns.index(name)
            new = cell_of(cells[at], value, kind)
            cells[at] = "" if new is None else str(new)
        return cells
    text = given
    parts = part(text, [cells[i] for i in what]) if layout.joined else [text]
    for at, cell in zip(what, parts, strict=True):
        cells[at] = cell
    return cells


def write(data: Dataset, layout: Layout, path: Path) -> tuple[str, ...]:
    """Write the rows with all columns of the source, in its order."""
    where = layout.columns.index(layout.label)
    what = [layout.columns.index(column) for column in layout.joined or (layout.content,)]
    how: Dialect = layout.details
    form: dict[str, Any] = {"delimiter": how.delimiter, "lineterminator": "\r\n"}
    if not how.quoted:
        form |= {"quoting": csv.QUOTE_NONE, "quotechar": None, "lineterminator": "\n"}
    with path.open("w", encoding="utf-8", newline="", errors="surrogateescape") as file:
        writer = csv.writer(file, **form)
        try:
            if how.header:
                writer.writerow(layout.columns)
            for text, label, row in zip(
                data.inputs, data.labels.tolist(), data.ids.tolist(), strict=True
            ):
                cells = _with_input(layout, row, what, text)
                cells[where] = str(layout.spelling[label])
                writer.writerow(cells)
        except csv.Error as error:
            raise DataError(
                f"{path.name!r}: the source has no quotes, and a text needs them ({error})"
            ) from None
    return tuple(f"{path.name} row {row}" for row in range(len(data)))
