"""Finding the columns that matter by the names they usually have, and by what they hold."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.kinds import Kind
from mithridate.domains.formats.source import Reading, brief

LABELS = ("label", "labels", "class", "target", "y", "category", "class_name", "sentiment",
          "label_text", "fine_label")  # fmt: skip
TEXTS = ("text", "sentence", "content", "review", "review_text", "body", "document", "message",
         "comment", "description", "question", "title")  # fmt: skip
IMAGES = ("image", "images", "img", "imgs", "picture", "photo", "x", "data", "bytes")
SOUNDS = ("audio", "sound", "speech", "wav", "clip", "recording", "file", "x", "data", "bytes")
IDS = ("id", "idx", "index", "guid", "uid", "uuid", "key", "example_id", "sample_id")

INDEX = re.compile(r"(unnamed: ?\d+(\.\d+)*|__index_level_\d+__)?", re.IGNORECASE)
"""How pandas names the numbers of its rows, in CSV with no name at all."""

NUMBERS = 3
"""Columns of numbers from which on a table is one of numbers."""


def names_of(columns: str | Sequence[str] | None) -> tuple[str, ...]:
    """Take names of columns apart that are written with commas between them."""
    if columns is None:
        return ()
    parts = columns.split(",") if isinstance(columns, str) else columns
    return tuple(part.strip() for part in parts)


def is_index(column: str) -> bool:
    """Whether a column numbers the rows, as its name says or the lack of one."""
    return INDEX.fullmatch(column.strip()) is not None


def is_id(column: str) -> bool:
    """Whether a column names the rows, by its name."""
    name = column.strip().lower()
    return name in IDS or name.endswith(("_id", " id")) or is_index(column)


def unique(columns: Sequence[str], name: str) -> None:
    """Refuse a file in which two columns have the same name, or none has one."""
    twice = [column for column, times in Counter(columns).items() if times > 1 and column]
    if twice:
        raise DataError(
            f"{name!r}: expected every column once, found {brief(twice[0])} more than once; "
            "rename or remove one of them"
        )
    if not any(columns):
        raise DataError(
            f"{name!r}: expected a name for every column, found {name_columns(columns)}; "
            "the first line must name the columns"
        )


def choose(
    role: str, asked: str | None, columns: Sequence[str], usual: Sequence[str], reading: Reading,
    only: str | None = None,
) -> str:  # fmt: skip
    """Choose the column for a role ("content" or "label").

    The one asked for by name; else the first whose name is usual; else `only`, the one column that
    is left where there is just one.

    Raises:
        DataError: where that finds none.
    """
    where = f"{str(reading.root)!r}: "
    if asked is not None:
        if asked in columns:
            return asked
        near = difflib.get_close_matches(asked, columns, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(
            f"{where}expected a column {asked!r} for the {role}, found "
            f"{name_columns(columns)}{hint}"
        )
    matching = [c for name in usual for c in columns if c.strip().lower() == name]
    if not matching and only is None:
        raise DataError(
            f"{where}expected a {role} column with a usual name ({', '.join(usual[:5])}, ...), "
            f"found {name_columns(columns)}; name it with {option(role)}"
        )
    if len(matching) > 1 and role == "label":
        reading.notes.append(
            f"Column {matching[0]!r} was taken for the {role}; {name_columns(matching[1:])} "
            f"could be it too ({option(role)} chooses)."
        )
    return matching[0] if matching else str(only)


def choose_label(columns: Sequence[str], reading: Reading, asked: str | None = None) -> str:
    """Choose the column of labels; "" where there is none and none is needed.

    Args:
        columns: all of the table that may be it.
        reading: what was asked, and where notes go.
        asked: the one that the file itself names, None for none.

    Raises:
        DataError: where there is none, and labels are needed.

    """
    try:
        return choose("label", reading.label or asked, columns, LABELS, reading)
    except DataError:
        if reading.unlabelled:
            return ""
        raise


def choose_texts(
    columns: Sequence[str], label: str, kinds: Mapping[str, Kind], reading: Reading
) -> tuple[str, ...]:
    """Choose the column of texts, or those that were asked for and are joined.

    Args:
        columns: All of the table.
        label: The one that holds the labels.
        kinds: What each column holds.
        reading: What was asked, and where notes go.

    Raises:
        DataError: There is none, or the one that was asked for is a column of categories in a table
            of numbers.
    """
    left = [c for c in columns if c != label and c]
    numbers = [c for c in left if kinds[c] == "number" and not is_id(c)]
    if reading.content is not None:
        asked = _asked(reading.content, left, reading)
        for column in asked:
            _refuse_category(column, kinds, numbers, reading)
        return asked
    written = [c for c in left if kinds[c] == "text" and not is_id(c)]
    words = [c for c in left if kinds[c] in ("word", "category") and not is_id(c)]
    likely = written or words
    taken = choose(
        "content", None, left, TEXTS, reading, likely[0] if len(likely) == 1 else None
    )  # fmt: skip
    _refuse_category(taken, kinds, numbers, reading)
    _say(taken, label, [c for c in written if c != taken], columns, reading)
    return (taken,)


def _asked(content: str, columns: Sequence[str], reading: Reading) -> tuple[str, ...]:
    parts = (content,) if content in columns else names_of(content)
    if len(parts) > 1:
        reading.notes.append(
            f"Columns {name_columns(parts)} were joined with a line break between them."
        )
    return tuple(choose("content", part, columns, (), reading) for part in parts)


def _say(
    taken: str, label: str, others: Sequence[str], columns: Sequence[str], reading: Reading
) -> None:
    """Note which columns were taken where others could be meant or have no name."""
    if others:
        both = ",".join([*others[:1], taken] if columns.index(others[0]) < columns.index(taken)
                        else [taken, *others[:1]])  # fmt: skip
        reading.notes.append(
            f"Column {taken!r} was taken for the content; {name_columns(others)} could be it too "
            f"({option('content')} chooses, {option('content', both)} joins them)."
        )
    index = [c for c in columns if is_index(c)]
    if index:
        reading.notes.append(
            f"Column {taken!r} was taken for the content and {label!r} for the label; "
            f"{name_columns(index)}, which numbers the rows, was passed over."
        )


def _refuse_category(
    column: str, kinds: Mapping[str, Kind], numbers: Sequence[str], reading: Reading
) -> None:
    """Refuse words of a few kinds beside numbers, and note them where they stand alone."""
    if kinds[column] != "category":
        return
    if len(numbers) >= NUMBERS:
        raise DataError(
            f"{str(reading.root)!r}: expected texts in column {column!r}, found single words that "
            f"repeat beside {len(numbers)} columns of numbers: this is a table of numbers"
        )
    reading.notes.append(f"Column {column!r} holds few different values: are they texts?")


def name_columns(columns: Sequence[str]) -> str:
    """Name up to ten columns in a message."""
    names = ", ".join(brief(c, 40) for c in columns[:10])
    more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    return (f"{names}{more}" if columns else "no columns")  # fmt: skip
