"""Finding the two columns that matter by the names they usually have."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.source import Reading, brief

LABELS = ("label", "labels", "class", "target", "y", "category", "class_name", "sentiment",
          "label_text", "fine_label")  # fmt: skip
TEXTS = ("text", "sentence", "content", "review", "review_text", "body", "document", "message",
         "comment", "description", "question", "title")  # fmt: skip
IMAGES = ("image", "images", "img", "imgs", "picture", "photo", "x", "data", "bytes")


def unique(columns: Sequence[str], name: str) -> None:
    """Refuse a file in which two columns have the same name, or one has none."""
    twice = [column for column, times in Counter(columns).items() if times > 1]
    if twice:
        raise DataError(
            f"{name!r}: expected every column once, found {brief(twice[0])} more than once; "
            "rename or remove one of them"
        )
    if not columns or "" in columns:
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
    if len(matching) > 1:
        reading.notes.append(
            f"Column {matching[0]!r} was taken for the {role}; {name_columns(matching[1:])} "
            "could be it too "
            f"({option(role)} chooses)."
        )
    return matching[0] if matching else str(only)


def name_columns(columns: Sequence[str]) -> str:
    """Name up to ten columns in a message."""
    names = ", ".join(brief(c, 40) for c in columns[:10])
    more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    return (f"{names}{more}" if columns else "no columns")  # fmt: skip
