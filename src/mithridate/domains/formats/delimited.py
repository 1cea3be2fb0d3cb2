"""Texts in CSV and TSV files whose first line names the columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import raised
from mithridate.domains.formats.columns import LABELS, TEXTS, choose, name_columns, unique
from mithridate.domains.formats.labels import resolve
from mithridate.domains.formats.source import Layout, Reading, Source
from mithridate.domains.formats.texts import gather
from mithridate.domains.formats.walk import name_path as path_shown
from mithridate.domains.formats.walk import unreadable

Record = tuple[int, list[str]]
"""A line number and the cells that end there."""

DELIMITERS = {"csv": ",", "tsv": "\t"}


@dataclass
class Rows:
    """The rows of delimited files: cells [n][column], a name each."""

    columns: list[str] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    quoted: bool = True


def read(files: Sequence[Path], reading: Reading, format: str) -> Source:
    """Read a text column and a label column.

    Cells may be quoted as in RFC 4180. A TSV file in which quotes do not pair is read without
    quoting, as TSV was meant.
    """
    reading.expect("text", format)
    rows = Rows()
    for file in files:
        _add(rows, file, reading, format)
    columns = rows.columns
    label = choose("label", reading.label, columns, LABELS, reading)
    left = [c for c in columns if c != label]
    only = left[0] if len(left) == 1 else None
    content = choose("content", reading.content, left, TEXTS, reading, only)
    where, what = columns.index(label), columns.index(content)
    labels = resolve([row[where] for row in rows.cells], rows.names, reading, None)
    inputs, kept = gather((row[what] for row in rows.cells), labels.index, rows.names, reading)
    layout = Layout(
        file=files[0].name, columns=tuple(columns), content=content, label=label,
        spelling=labels.spelling, rest=[rows.cells[row] for row in kept], details=rows.quoted,
    )  # fmt: skip
    names = [rows.names[row] for row in kept]
    return reading.finish(format, inputs, labels.index[kept], labels.classes, names, layout)


def _add(rows: Rows, path: Path, reading: Reading, format: str) -> None:
    """Add the rows of one file to those of the files before it."""
    name = path_shown(path, reading.root)
    check_text_file(path, name, reading)
    records, quoted = _parse(path, name, reading, format)
    rows.quoted = rows.quoted and quoted
    if not records:
        raise DataError(f"{name!r}: expected a line of column names, found an empty file")
    columns = records[0][1]
    unique(columns, name)
    if rows.columns and rows.columns != columns:
        raise DataError(
            f"{name!r}: expected the columns of the other files "
            f"({name_columns(rows.columns)}), found "
            f"{name_columns(columns)}"
        )
    rows.columns = columns
    for number, (line, cells) in enumerate(records[1:]):
        row = f"{name} row {number}"
        if len(cells) != len(columns):
            reading.reject(
                row, f"expected {len(columns)} cells, found {len(cells)} in line {line}; correct it"
            )
            continue
        rows.cells.append(cells)
        rows.names.append(row)


def _parse(path: Path, name: str, reading: Reading, format: str) -> tuple[list[Record], bool]:
    """Read all records, and say whether they may be quoted."""
    before = csv.field_size_limit(reading.limits.file)
    try:
        try:
            return list(_records(path, name, reading, format, quoted=True)), True
        except csv.Error:
            if format != "tsv":
                raise
        reading.notes.append(f"Quotes do not pair in {name!r}: it was read without quoting.")
        return list(_records(path, name, reading, format, quoted=False)), False
    except csv.Error as error:
        raise DataError(
            f"{name!r}: expected {format.upper()} as in RFC 4180, found {error}; "
            "write the file again with quoted cells"
        ) from None
    except OSError as error:
        raise unreadable(name, error) from None
    finally:
        csv.field_size_limit(before)


def _records(
    path: Path, name: str, reading: Reading, format: str, quoted: bool
) -> Iterator[Record]:
    """Yield the line number and the cells of every row that is not blank."""
    # Bytes that are no UTF-8 become surrogates here, and are found cell by cell later
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        quoting: Any = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        lines = csv.reader(file, delimiter=DELIMITERS[format], strict=True, quoting=quoting)
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


def write(data: Dataset, layout: Layout, path: Path, format: str) -> tuple[str, ...]:
    """Write the rows with all columns of the source, in its order."""
    where, what = layout.columns.index(layout.label), layout.columns.index(layout.content)
    dialect: dict[str, Any] = {"delimiter": DELIMITERS[format], "lineterminator": "\r\n"}
    if not layout.details:
        dialect |= {"quoting": csv.QUOTE_NONE, "quotechar": None, "lineterminator": "\n"}
    with path.open("w", encoding="utf-8", newline="", errors="surrogateescape") as file:
        writer = csv.writer(file, **dialect)
        try:
            writer.writerow(layout.columns)
            for text, label, row in zip(
                data.inputs, data.labels.tolist(), data.ids.tolist(), strict=True
            ):
                cells = list(layout.rest[row])
                cells[what], cells[where] = text, str(layout.spelling[label])
                writer.writerow(cells)
        except csv.Error as error:
            raise DataError(
                f"{path.name!r}: the source has no quotes, and a text needs them ({error})"
            ) from None
    return tuple(f"{path.name} row {row}" for row in range(len(data)))
