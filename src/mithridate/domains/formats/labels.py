"""Label columns as people write them: whole numbers, names, or true and false.

Axes: n examples, c classes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.source import Reading, brief
from mithridate.domains.formats.texts import NO_UNICODE

WHOLE = re.compile(r"\s*[+-]?\d{1,18}(\.0*)?\s*", re.ASCII)
NO_LABEL = "expected a label, found none; fill it in or remove the example"
NOTHING_HIDDEN = "none"
"""What is asked for where no label means "unknown"."""

MANY = 0.01
"""Share of the labels from which on one below 0 is common enough to be a class."""

Label = int | str
"""A label that was understood; true and false are among the whole numbers."""


@dataclass(frozen=True, eq=False)
class Labels:
    """A label column that was understood.

    Attributes:
        index: int64[n] into the classes, -1 where it was rejected or hidden.
        classes: their names, [c].
        spelling: how the file writes each class, [c].
    """

    index: np.ndarray[Any, Any]
    classes: tuple[str, ...]
    spelling: tuple[Any, ...]


def resolve(
    raw: Sequence[object], names: Sequence[str], reading: Reading, known: Sequence[str] | None
) -> Labels:
    """Turn the labels of a file into class indices.

    True and false are two classes, in every format. Where a file has class names, numbers index
    into them. Otherwise numbers that begin at 0 and use at least half of 0..max are indices, and
    any other numbers, and all names, are classes in sorted order. A column in which most labels
    look like numbers must hold whole numbers only. Numbers below 0 are classes where many rows
    have them (see `_below_zero`). Single bad labels are rejected.

    Args:
        raw: object[n], the cells of the label column.
        names: Of the rows, [n].
        reading: What was asked, and where notes and rejected rows go.
        known: The names of the classes where the file has them.

    Raises:
        DataError: A label is bad, all are hidden, or there are too many classes.
    """
    if reading.joined:
        raw = [_joined(value, reading.joined) for value in raw]
    form = _form(raw) if known is None else "number" if _numeric(raw) else "name"
    read = READERS[form]
    understood: list[Label | DataError | None] = [_attempt(read, value) for value in raw]
    _hide(understood, raw, reading)
    counts = Counter(v for v in understood if v is not None and not isinstance(v, DataError))
    strays = _below_zero(counts, reading, known) if form == "number" else {}
    check = _Check(form, counts, strays, known, reading.limits.classes)
    kept: list[Label | None] = []
    for row, value in enumerate(understood):
        good = None if isinstance(value, DataError) else value
        wrong = value if isinstance(value, DataError) else check(value)
        if wrong is not None:
            reading.reject(names[row], str(wrong), type(wrong))
        kept.append(good if wrong is None else None)
    return _numbered(raw, kept, form, known, reading)


def _joined(value: object, names: Mapping[str, str]) -> object:
    """Give the name of the classes that a label is one of; what is no label stays."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return names.get(str(text), names.get("", text)) if text not in (None, "") else text


def _numbered(
    raw: Sequence[object],
    kept: Sequence[Label | None],
    form: str,
    known: Sequence[str] | None,
    reading: Reading,
) -> Labels:
    """Number the classes, and note how the file first writes each."""
    values = _classes({value for value in kept if value is not None}, form, known)
    if len(values) > reading.limits.classes:
        raise DataError(
            f"{str(reading.root)!r}: expected at most {reading.limits.classes} classes, found "
            f"{len(values)}; is the label column the right one? {option('label')} chooses another"
        )
    place = {value: index for index, value in enumerate(values)}
    index = np.fromiter((-1 if v is None else place[v] for v in kept), np.int64, len(kept))
    written: dict[Label, object] = {}
    for value, cell in zip(kept, raw, strict=True):
        if value is not None:
            written.setdefault(value, cell)
    as_text = any(isinstance(cell, str) for cell in written.values())
    spelling = [written.get(value, str(value) if as_text else value) for value in values]
    classes = known if known is not None else [str(value) for value in values]
    return Labels(index, tuple(classes), tuple(spelling))


def _form(raw: Sequence[object]) -> str:
    """Say whether a column holds mostly "truth" values, "number"s or "name"s."""
    there = [value for value in raw if value is not None and value != ""]
    if there and 2 * sum(isinstance(value, bool) for value in there) >= len(there):
        return "truth"
    writings = {value for value in there if isinstance(value, str)}
    spelt = {value.strip().lower() for value in writings} if len(writings) <= 2 else set()
    # "True" beside "true" is more than one spelling, and no spelling is thrown away
    if spelt == {"true", "false"} and len(there) == sum(isinstance(v, str) for v in there):
        return "truth"
    return "number" if _numeric(raw) else "name"


def _numeric(raw: Sequence[object]) -> bool:
    """Whether at least half of the labels that are there look like numbers."""
    there = [value for value in raw if value is not None and value != ""]
    return 2 * sum(map(_looks_numeric, there)) >= len(there)


def _looks_numeric(value: object) -> bool:
    if not isinstance(value, str):
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True


def _attempt(read: Callable[[object], Label], value: object) -> Label | DataError:
    try:
        return read(value)
    except DataError as error:
        return error


def _truth(value: object) -> bool:
    if value is None or value == "":
        raise DataError(NO_LABEL)
    known = {"true": True, "false": False}.get(str(value).strip().lower())
    if known is None or not isinstance(value, bool | str):
        raise DataError(
            f"expected true or false as label like the others, found {brief(value)}; correct it"
        )
    return known


def _whole(value: object) -> int:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        raise DataError(NO_LABEL)
    whole = isinstance(value, int) and not isinstance(value, bool)
    whole = whole or (isinstance(value, float) and value.is_integer())
    whole = whole or (isinstance(value, Decimal) and value.is_finite() and value == int(value))
    whole = whole or (isinstance(value, str) and WHOLE.fullmatch(value) is not None)
    if not whole:
        raise DataError(
            f"expected a whole number as label like the others, found {brief(value)}; correct it"
        )
    return int(str(value).partition(".")[0]) if isinstance(value, str) else int(value)  # type: ignore[call-overload]


def _name(value: object) -> str:
    if value is None or value == "":
        raise DataError(NO_LABEL)
    if not isinstance(value, str):
        raise DataError(f"expected a class name like the others, found {brief(value)}; correct it")
    if NO_UNICODE.search(value):
        raise DataError("expected a class name in UTF-8, found bytes that are none; convert it")
    return value


READERS: dict[str, Callable[[object], Label]] = {
    "truth": _truth,
    "number": _whole,
    "name": _name,
}


@dataclass(frozen=True)
class _Check:
    """What is wrong with a label that was understood; None where nothing is."""

    form: str
    counts: Counter[Label]
    strays: dict[int, str]
    known: Sequence[str] | None
    classes: int

    def __call__(self, value: Label | None) -> DataError | None:
        if value is None:
            return None
        if self.form == "name" and self.known is not None and value not in self.known:
            return DataError(
                f"expected one of the file's class names, found {brief(value)}; correct it"
            )
        if self.form != "number":
            return None
        if value in self.strays:
            total = sum(self.counts.values())
            return DataError(
                f"expected a label of 0 or more, found {brief(value)}, which {self.counts[value]} "
                f"of {total} rows have; {self.strays[int(value)]}"
            )
        limit = self.classes if self.known is None else len(self.known)
        if int(value) < limit:
            return None
        why = (
            "too large for a label" if self.known is None else "which the class names do not reach"
        )
        return DataError(
            f"expected a label below {limit}, found {brief(value)}, {why}; "
            "is the label column the right one?"
        )


def _hide(
    understood: list[Label | DataError | None], raw: Sequence[object], reading: Reading
) -> None:
    """Take away, in place, the labels that mean "unknown" where one was asked for."""
    if reading.hidden is None or reading.hidden == NOTHING_HIDDEN:
        return
    asked, rows = reading.hidden.strip(), 0
    for row, (value, cell) in enumerate(zip(understood, raw, strict=True)):
        if asked in (str(value), str(cell).strip()):
            understood[row], rows = None, rows + 1
    if rows:
        reading.notes.append(f"{rows} rows whose label is {asked} were left out as hidden.")


def _below_zero(
    counts: Counter[Label], reading: Reading, known: Sequence[str] | None
) -> dict[int, str]:
    """Find the labels below 0 that are no classes, and what is to be done about each.

    They are classes where the file names none, and either fewer than two would be left without
    them, as of -1 and 1, or each is common and no further from 0 than the largest, as of -1, 0, 1.

    Raises:
        DataError: The only label that there is lies below 0.
    """
    numbers = {int(value): rows for value, rows in counts.items()}
    below = sorted(value for value in numbers if value < 0)
    if not below:
        return {}
    if len(numbers) == 1:
        raise DataError(
            f"{str(reading.root)!r}: expected labels, found {below[0]} in every row: the labels of "
            "this split are hidden, as often in test data; give a split that has labels"
        )
    if known is not None:
        why = "the class names begin at 0, and labels below often mark hidden ones"
        return {v: f"{why}: {option('hidden_label', v)} leaves such rows out" for v in below}
    if len(numbers) - len(below) < 2:
        return {}
    total, reach = sum(numbers.values()), max(1, *numbers)
    strays = {}
    for value in below:
        common = numbers[value] >= max(2, MANY * total) and -value <= reach
        if common or reading.hidden == NOTHING_HIDDEN:
            reading.notes.append(
                f"Label {value} was taken for a class of {numbers[value]} rows "
                f"({option('hidden_label', value)} leaves such rows out)."
            )
            continue
        strays[value] = (
            f"labels below 0 often mark hidden ones: {option('hidden_label', value)} leaves such "
            f"rows out, {option('hidden_label', NOTHING_HIDDEN)} takes them for a class"
        )
    return strays


def _classes(values: set[Label], form: str, known: Sequence[str] | None) -> tuple[Label, ...]:
    if known is not None:
        return tuple(range(len(known))) if form == "number" else tuple(known)
    if form == "truth":
        return (False, True)
    numbers = [value for value in values if isinstance(value, int)]
    largest = max(numbers, default=0)
    if 0 in values and min(numbers) == 0 and 2 * len(values) >= largest + 1:
        return tuple(range(largest + 1))
    return tuple(sorted(values, key=lambda value: (isinstance(value, str), value)))
