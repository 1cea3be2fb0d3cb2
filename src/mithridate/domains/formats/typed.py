"""What the cells of a whole column of a table are: numbers, whole numbers or categories.

A column is looked at to its end: texts that stand 600,000 rows down make it another column.

Axes: n rows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.kinds import is_missing
from mithridate.domains.formats.source import brief
from mithridate.domains.formats.texts import NO_UNICODE

NUMBER = re.compile(
    r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|inf|infinity|nan)",
    re.ASCII | re.IGNORECASE,
)
WHOLE = re.compile(r"[+-]?\d{1,19}", re.ASCII)
CODE = re.compile(r"[+-]?0\d+", re.ASCII)
"""Digits after a zero: a code such as 007, which is another one than 7."""

MOST = 0.9
"""Share of numbers from which on what is none is a mistake, and no category."""

LONGEST = 1000
"""Characters of a category; what is longer is a text."""

DTYPES: dict[str, Any] = {"number": np.float64, "integer": np.int64, "category": object}
KINDS = {np.dtype(dtype): kind for kind, dtype in DTYPES.items()}


@dataclass(frozen=True, eq=False)
class Typed:
    """A column whose cells were understood.

    Attributes:
        kind: "number", "integer" or "category".
        values: float64[n] with NaN where none is, int64[n], or object[n] of str with "" where none
            is; rows in `wrong` hold anything.
        wrong: What is wrong with single cells, by row.
        rounded: Whether whole numbers are too large for their last digits to be kept.
    """

    kind: str
    values: NDArray[Any]
    wrong: dict[int, str] = field(default_factory=dict)
    rounded: bool = False


def typed(cells: Iterable[Any], name: str, category: bool = False) -> Typed:
    """Say what a column holds, and give its values.

    Args:
        cells: Of the n rows: texts, bytes, numbers, truth values, None.
        name: Of the column, for messages.
        category: Whether it was said to hold categories.
    """
    column = [_opened(cell) for cell in cells]
    kinds = set(map(type, column)) - {type(None)}
    if not category and kinds <= {int} and None not in column and column:
        return _whole(column)
    if not category and kinds <= {int, float}:
        return Typed("number", _floats(column))
    return _written(column, name, category)


def value_of(cell: Any, kind: str) -> Any:
    """Give the value that a cell has in a column of a kind; None where it has none.

    Args:
        cell: As a file holds it.
        kind: "number", "integer" or "category".
    """
    cell = _opened(cell)
    if isinstance(cell, DataError):
        return None
    if kind == "category":
        text = _category(cell)
        return text.lower() if text.lower() in ("true", "false") else text
    number = _number(cell)
    if number is None:
        return None
    return int(number) if kind == "integer" and float(number).is_integer() else float(number)


def _opened(cell: Any) -> Any:
    """Decode bytes, and make plain numbers of all that are some; what fails is an error."""
    if isinstance(cell, bytes):
        try:
            return cell.decode("utf-8")
        except UnicodeDecodeError:
            return DataError("expected text in UTF-8, found bytes that are none; convert it")
    return float(cell) if isinstance(cell, Decimal) else cell


def _whole(column: Sequence[int]) -> Typed:
    if all(-(2**63) <= cell < 2**63 for cell in column):
        return Typed("integer", np.array(column, dtype=np.int64))
    return Typed("number", _floats(column), rounded=True)


def _floats(column: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([math.nan if cell is None else cell for cell in column], dtype=np.float64)


def _written(column: Sequence[Any], name: str, category: bool) -> Typed:
    """Understand a column of texts, or one of several kinds."""
    places: dict[tuple[type, Any], int] = {}
    errors: dict[int, DataError] = {}
    codes = np.empty(len(column), dtype=np.int64)
    for row, cell in enumerate(column):
        odd = isinstance(cell, DataError | list | dict)
        codes[row] = places.setdefault((type(cell), None if odd else cell), len(places))
        if odd:
            errors[row] = cell if isinstance(cell, DataError) else DataError(
                f"expected a number or a category in column {name!r}, found {brief(cell)}"
            )  # fmt: skip
    cells = [cell for _, cell in places]
    times = np.bincount(codes, minlength=len(cells))
    wrong = {row: str(error) for row, error in errors.items()}
    if not category and _are_numbers(cells, times):
        return _numbers(cells, codes, times, name, wrong)
    return _categories(cells, codes, wrong)


def _are_numbers(cells: Sequence[Any], times: NDArray[np.int64]) -> bool:
    """Whether most of the different cells, each so many times, are numbers and none is a code."""
    if any(isinstance(cell, str) and CODE.fullmatch(cell.strip()) for cell in cells):
        return False
    there = [not is_missing(cell) for cell in cells]
    good = [_number(cell) is not None for cell in cells]
    count = times[np.array(there, dtype=bool)].sum()
    fitting = times[np.array(there, dtype=bool) & np.array(good, dtype=bool)].sum()
    # A column with nothing in it at all is one of numbers, none of which is there
    return bool(fitting >= MOST * count)


def _numbers(
    cells: Sequence[Any], codes: NDArray[np.int64], times: NDArray[np.int64], name: str,
    wrong: dict[int, str],
) -> Typed:  # fmt: skip
    """Give numbers, and name the cells that are none among so many."""
    known = [_number(cell) for cell in cells]
    strange = [known[i] is None and not is_missing(cell) for i, cell in enumerate(cells)]
    good = int(times[~np.array(strange, dtype=bool)].sum())
    for row in np.flatnonzero(np.array(strange, dtype=bool)[codes]).tolist():
        wrong.setdefault(
            row,
            f"expected a number in column {name!r} as in {good} other rows, found "
            f"{brief(cells[codes[row]])}; correct it, or say that the column holds categories "
            f"with {option('categories', name)}",
        )
    filled = [math.nan if number is None else number for number in known]
    if all(isinstance(number, int) for number in filled) and not any(strange) and len(codes):
        whole = _whole([int(number) for number in filled])
        return Typed(whole.kind, whole.values[codes], wrong, whole.rounded)
    return Typed("number", np.array(filled, dtype=np.float64)[codes], wrong)


def _categories(cells: Sequence[Any], codes: NDArray[np.int64], wrong: dict[int, str]) -> Typed:
    texts = np.empty(len(cells), dtype=object)
    truth = _are_truth(cells)
    bad: dict[int, str] = {}
    for place, cell in enumerate(cells):
        text = _category(cell)
        texts[place] = text.lower() if truth else text
        if NO_UNICODE.search(text):
            bad[place] = "expected text in UTF-8, found bytes that are none; convert it"
        elif len(text) > LONGEST:
            bad[place] = (
                f"expected a category of at most {LONGEST} characters, found {len(text)}: a text "
                f"is no category; leave its column out with {option('without')}"
            )
    if bad:
        for row in np.flatnonzero(np.isin(codes, list(bad))).tolist():
            wrong.setdefault(row, bad[int(codes[row])])
    return Typed("category", texts[codes] if len(codes) else np.empty(0, dtype=object), wrong)


def _are_truth(cells: Sequence[Any]) -> bool:
    """Whether a column holds true and false alone, which every format writes in its own way."""
    there = {str(cell).strip().lower() for cell in cells if not is_missing(cell)}
    return bool(there) and there <= {"true", "false"}


def _category(cell: Any) -> str:
    """Write a cell as a category; a whole number is the same in a file that has it as 80.0."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        if math.isnan(cell):
            return ""
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if cell is None or isinstance(cell, DataError | list | dict):
        return ""
    return str(cell)


def _number(cell: Any) -> int | float | None:
    """Read a number; None where it is none, NaN where it is missing by name."""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        return None
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if WHOLE.fullmatch(text):
        return int(text)
    return float(text) if NUMBER.fullmatch(text) else None


def cell_of(old: Any, value: Any, kind: str) -> Any:
    """Give the cell of a value, as the file had it where it still holds that value.

    Args:
        old: The cell that the file had.
        value: A number, a text, NaN or "" for none.
        kind: "number", "integer" or "category".
    """
    before = value_of(old, kind)
    none = value == "" or (isinstance(value, float) and math.isnan(value))
    if before == value or (none and (before is None or before != before)):
        return old
    if none:
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def values_of(row: Any) -> dict[str, tuple[Any, str]]:
    """Give the value of each column of a row, and what the column holds.

    Args:
        row: Of a structured array.
    """
    values = row.tolist()
    return {
        name: (value, KINDS[row.dtype[name]])
        for name, value in zip(row.dtype.names, values, strict=True)
    }
