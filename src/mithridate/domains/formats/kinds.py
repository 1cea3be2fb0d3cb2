"""What the cells of a column are: numbers, words of a few kinds, other single words, or texts.

Axes: n rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Kind = Literal["number", "category", "word", "text", "image", "sound", "date", "other"]

SAMPLE = 1000
"""Rows that are looked at to tell what a column holds."""

FEW = 20
"""Rows below which a column of words is taken for texts: repetition would mean nothing."""


MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})
"""How people write that a number is missing."""


def is_missing(cell: object) -> bool:
    """Whether a cell says that there is no number."""
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING)


def kind_of(cells: Sequence[object]) -> Kind:
    """Say what a column holds, by at most `SAMPLE` of its cells.

    A "category" repeats each value ten times and more on average, and a "word" is ASCII without
    blanks, as addresses and hashes are; sentences of any language are "text".
    """
    there = [cell for cell in cells[:SAMPLE] if cell is not None and cell != ""]
    numbers = [cell for cell in there if _is_number(cell)]
    if numbers and all(_is_number(cell) or is_missing(cell) for cell in there):
        return "number"
    words = [cell for cell in there if isinstance(cell, str)]
    if len(words) < len(there):
        return "other"
    if len(words) < FEW:
        return "text"
    blanks = sum(" " in word.strip() for word in words) / len(words)
    if blanks < 0.2 and len(set(words)) <= len(words) / 10:
        return "category"
    return "word" if blanks < 0.05 and all(map(str.isascii, words)) else "text"


def _is_number(cell: object) -> bool:
    if not isinstance(cell, str):
        return isinstance(cell, int | float)
    if cell.strip().lower() in ("true", "false"):
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True
