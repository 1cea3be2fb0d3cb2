"""Choosing the columns of a table that are read as numbers and categories."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.columns import (
    IMAGES,
    NUMBERS,
    TEXTS,
    choose,
    is_id,
    name_columns,
    names_of,
)
from mithridate.domains.formats.kinds import FEW
from mithridate.domains.formats.source import Reading
from mithridate.domains.registry import Table

USABLE = ("number", "category", "word", "empty")
"""Kinds of columns that a table is made of."""

DATE = re.compile(
    r"\d{4}-\d\d?-\d\d?([T ]\d\d?:\d\d(:\d\d(\.\d+)?)?)?( ?(Z|[+-]\d\d:?\d\d))?"
    r"|\d\d?[./]\d\d?[./]\d{2,4}( \d\d?:\d\d(:\d\d)?)?( [AP]M)?",
    re.ASCII,
)
"""How days and times are written."""


def choose_values(table: Table, reading: Reading) -> tuple[str, ...]:
    """Choose the columns of numbers and categories; none where the table holds texts or pictures.

    Raises:
        DataError: A column that was asked for is not there, or holds neither.
    """
    left = [c for c in table.columns if c != table.label and c]
    kinds = {c: _kind(c, table) for c in left}
    asked_for = [*reading.categories, *reading.without]
    for column in asked_for:
        choose("content", column, table.columns, (), reading)
    if reading.content is not None:
        return _asked(reading.content, left, kinds, reading)
    left = [c for c in left if c not in reading.without]
    usable = [c for c in left if not is_id(c) and kinds[c] in USABLE]
    if not (reading.domain == "table" or asked_for or _is_table(usable, left, kinds)):
        return ()
    _say_passed(left, usable, kinds, reading)
    return tuple(usable)


def _kind(column: str, table: Table) -> str:
    """Say what a column holds: also "date", "empty" and, of words in a short table, "category"."""
    kind, cells = str(table.kinds[column]), table.samples.get(column, ())
    words = [cell for cell in cells if isinstance(cell, str) and cell]
    if kind in ("category", "word", "text") and words and all(map(DATE.fullmatch, words)):
        return "date"
    if kind == "text" and not any(cells) and column.strip().lower() not in TEXTS:
        return "empty"
    short = kind == "text" and len(words) < FEW and column.strip().lower() not in TEXTS
    if short and words and not any(" " in word.strip() for word in words):
        return "category"
    return kind


def _is_table(usable: Sequence[str], left: Sequence[str], kinds: dict[str, str]) -> bool:
    """Whether columns are read as a table: without texts and pictures, and with few other words."""
    rest = [c for c in left if not is_id(c)]
    named = any(c.strip().lower() in (*TEXTS, *IMAGES) and kinds[c] != "number" for c in rest)
    if named or any(kinds[c] in ("text", "image", "sound") for c in rest):
        return False
    numbers = [c for c in usable if kinds[c] == "number"]
    usable = [c for c in usable if kinds[c] != "empty"]
    words = [c for c in usable if kinds[c] == "word"]
    if len(usable) < NUMBERS:
        return bool(numbers) and len(numbers) == len(usable)
    return not words or len(usable) - len(words) > 2 * len(words)


def _asked(
    content: str, left: Sequence[str], kinds: dict[str, str], reading: Reading
) -> tuple[str, ...]:
    """Give the columns that were asked for, none where they are texts or pictures."""
    parts = (content,) if content in left else names_of(content)
    taken = [choose("content", part, left, (), reading) for part in parts]
    numbers = [c for c in left if kinds[c] == "number" and not is_id(c)]
    held = {kinds[c] for c in taken}
    beside = len(numbers) >= NUMBERS and held == {"category"}
    if not ("number" in held or reading.domain == "table" or reading.categories or beside):
        return ()
    unfit = [c for c in taken if kinds[c] in ("image", "sound", "date", "other")]
    if unfit:
        is_date = kinds[unfit[0]] == "date"
        there = (
            "dates; write them as numbers, such as seconds since a day"
            if is_date
            else "something else; choose other columns"
        )
        raise DataError(
            f"{str(reading.root)!r}: expected numbers or categories in column {unfit[0]!r}, "
            f"found {there}"
        )
    return tuple(c for c in left if c in taken)


def _say_passed(
    left: Sequence[str], usable: Sequence[str], kinds: dict[str, str], reading: Reading
) -> None:
    """Note the columns that are no part of what is read, by the reason."""
    passed = [c for c in left if c not in usable]
    reasons = {
        "which name the rows": [c for c in passed if is_id(c)],
        "which hold dates (numbers of seconds or days would be read)": [
            c for c in passed if not is_id(c) and kinds[c] == "date"
        ],
        "which hold neither numbers nor categories": [
            c for c in passed if not is_id(c) and kinds[c] != "date"
        ],
    }
    for reason, columns in reasons.items():
        if columns:
            reading.notes.append(
                f"Passed over: {name_columns(columns)}, {reason} ({option('content')} chooses "
                "columns)."
            )
