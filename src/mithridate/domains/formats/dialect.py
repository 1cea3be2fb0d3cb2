"""How a delimited file is written: its delimiter, and whether its columns have names.

What the file leaves open is decided only where one reading fits and no other does.
Axes: n rows, k columns.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.columns import IMAGES, LABELS, TEXTS, name_columns, names_of
from mithridate.domains.formats.kinds import SAMPLE, kind_of
from mithridate.domains.formats.labels import WHOLE
from mithridate.domains.formats.source import Reading

DELIMITERS = {"csv": ",", "tsv": "\t"}
OTHERS = (",", ";", "\t", "|")
SPELT = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
"""What may be written for a delimiter that is hard to type."""

LINES = 50
"""Rows that are looked at to find the delimiter."""


class Head(NamedTuple):
    """The names of the columns, how many records they take, and what was guessed without them.

    Attributes:
        names: [k], numbers from 1 where the file has none.
        lines: 1 where the first line holds them, else 0.
        label: columns that were guessed, "" where the names tell.
        content: columns that were guessed, "" where the names tell.
    """

    names: list[str]
    lines: int
    label: str = ""
    content: str = ""


def _asked(delimiter: str) -> str:
    """Give the character that a user's word stands for; raises DataError where it is none."""
    character = SPELT.get(delimiter.lower(), delimiter)
    if len(character) != 1 or character in '"\r\n':
        raise DataError(f"expected one character as delimiter, e.g. ; or tab, found {delimiter!r}")
    return character


def delimiter_of(path: Path, name: str, reading: Reading, format: str) -> str:
    """Find what stands between the cells of a file.

    It is what was asked for, else what the file's suffix says; another one is taken, and noted,
    where it alone gives every row as many cells as the first and a name that is usual, or where
    the usual one gives single cells.

    Raises:
        DataError: What was asked for is no single character.
    """
    if reading.delimiter is not None:
        return _asked(reading.delimiter)
    usual = DELIMITERS[format]
    tried = {each: _rows(path, each, reading) for each in OTHERS}
    if _fits(tried[usual]) and _named(tried[usual][0], reading):
        return usual
    fitting = [each for each in OTHERS if each != usual and _fits(tried[each])]
    named = [each for each in fitting if _named(tried[each][0], reading)]
    if len(named) != 1 and tried[usual] and len(tried[usual][0]) > 1:
        return usual
    chosen = named or fitting
    if len(chosen) != 1:
        return usual
    reading.notes.append(f"{name!r} was read with {chosen[0]!r} between its cells.")
    return chosen[0]


def _rows(path: Path, delimiter: str, reading: Reading) -> list[list[str]]:
    """Read the first rows; none where they are no whole cells."""
    before = csv.field_size_limit(reading.limits.file)
    try:
        # Tabs are also read without quotes, see `delimited.read`
        kinds: tuple[Any, ...] = (csv.QUOTE_MINIMAL, csv.QUOTE_NONE)
        for quoting in kinds if delimiter == "\t" else kinds[:1]:
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                rows = csv.reader(file, delimiter=delimiter, strict=True, quoting=quoting)
                with suppress(csv.Error):
                    return [cells for cells in islice(rows, LINES) if cells]
        return []
    finally:
        csv.field_size_limit(before)


def _fits(rows: Sequence[Sequence[str]]) -> bool:
    return len(rows) > 1 and len(rows[0]) > 1 and all(len(row) == len(rows[0]) for row in rows)


def _named(cells: Sequence[str], reading: Reading) -> bool:
    """Whether a first line holds a usual name of a column, or what was asked for."""
    if reading.columns:
        return len(cells) == len(reading.columns)
    asked = {reading.label, *names_of(reading.content)} - {None}
    usual = {*LABELS, *TEXTS, *IMAGES}
    return any(cell in asked or cell.strip().lower() in usual for cell in cells)


def head_of(records: Sequence[Sequence[str]], name: str, reading: Reading) -> Head:
    """Find the names of the columns of a file.

    Args:
        records: The cells of its lines, at least one.
        name: Of the file.
        reading: What was asked, and where notes go.

    Raises:
        DataError: Names were given, and the lines have another number of cells.
    """
    first = list(records[0])
    if reading.columns:
        if len(reading.columns) != len(first):
            raise DataError(
                f"{name!r}: expected {len(reading.columns)} columns, as {option('columns')} names "
                f"so many, found {len(first)} in the first line"
            )
        is_head = reading.header or (reading.header is None and first == list(reading.columns))
        return Head(list(reading.columns), int(is_head))
    if reading.header or (reading.header is None and _named(first, reading)):
        return Head(first, 1)
    roles = _roles(records)
    numbered = [str(number + 1) for number in range(len(first))]
    if reading.header is None and roles is None:
        return Head(first, 1)
    if roles is None or reading.label or reading.content:
        return Head(numbered, 0)
    head = Head(numbered, 0, numbered[roles[0]], numbered[roles[1]])
    reading.notes.append(
        f"The first line of {name!r} was read as data, since it names no columns: column "
        f"{head.content} was taken for the content, column {head.label} for the label "
        f"({option('header', True)} reads it as names)."
    )
    return head


def _roles(records: Sequence[Sequence[str]]) -> tuple[int, int] | None:
    """Guess the columns of labels and of texts where the first line is data like the others.

    The label is the one column of few whole numbers, or of few words that come again, and the
    content the column of the longest texts; None where that is not plain.
    """
    rows = [row for row in records[:SAMPLE] if len(row) == len(records[0])]
    columns = [[row[at] for row in rows] for at in range(len(records[0]))]
    few = [at for at, cells in enumerate(columns) if 2 <= len(set(cells)) <= len(rows) // 2]
    numbers = [at for at in few if all(map(WHOLE.fullmatch, columns[at]))]
    words = [at for at in few if at not in numbers and columns[at][0] in columns[at][1:]
             and max(map(len, columns[at])) <= 40 and all(columns[at])]  # fmt: skip
    likely = numbers or words
    texts = [at for at, cells in enumerate(columns)
             if at not in likely and kind_of(cells) == "text" and _is_sentence(cells)]  # fmt: skip
    if len(likely) != 1 or not texts:
        return None
    return likely[0], max(texts, key=lambda at: sum(map(len, columns[at])))


def _is_sentence(cells: Sequence[str]) -> bool:
    """Whether the first cell has letters, and most of all have more words than one."""
    spaced = sum(" " in cell.strip() for cell in cells)
    return any(map(str.isalpha, cells[0])) and 2 * spaced >= len(cells)


def headless() -> str:
    """Say what to do where the first line is data."""
    return f"where the first line is data, {option('columns')} gives the names of the columns"


def describe(cells: Sequence[str], delimiter: str) -> str:
    """Say what a file of a single column needs."""
    return (
        f"expected columns with {delimiter!r} between them, found one, {name_columns(cells[:1])}"
        f"; {option('delimiter')} names another character"
    )
