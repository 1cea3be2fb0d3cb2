"""Label columns as people write them: whole numbers or names.

Axes: n examples, c classes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.source import Reading, brief
from mithridate.domains.formats.texts import NO_UNICODE

WHOLE = re.compile(r"\s*[+-]?\d{1,18}(\.0*)?\s*", re.ASCII)
NO_LABEL = "expected a label, found none; fill it in or remove the example"


@dataclass(frozen=True, eq=False)
class Labels:
    """A label column that was understood.

    Attributes:
        index: int64[n] into the classes, -1 where it was rejected.
        classes: their names, [c].
        spelling: how the file writes each class, [c].
    """

    index: np.ndarray[Any, Any]
    classes: tuple[str, ...]
    spelling: tuple[int | str, ...]


def resolve(
    raw: Sequence[object], names: Sequence[str], reading: Reading, known: Sequence[str] | None
) -> Labels:
    """Turn the labels of a file, [n], into class indices.

    `known` gives the names of the classes where the file has them; numbers then index into it.
    Otherwise numbers that begin at 0 and use at least half of 0..max are indices, and any other
    numbers, and all names, are classes in sorted order. A column in which most labels look like
    numbers must hold whole numbers only, from 0. Single bad labels are rejected.
    """
    numeric = _numeric(raw)
    limit = len(known) if known is not None else reading.limits.classes
    values: list[int | str | None] = []
    for row, value in enumerate(raw):
        try:
            values.append(_number(value, limit, known) if numeric else _name(value, known))
        except DataError as error:
            reading.reject(names[row], str(error), type(error))
            values.append(None)
    spelling = _classes({value for value in values if value is not None}, known, numeric)
    if len(spelling) > reading.limits.classes:
        raise DataError(
            f"{str(reading.root)!r}: expected at most {reading.limits.classes} classes, found "
            f"{len(spelling)}; is the label column the right one? {option('label')} chooses another"
        )
    place = {value: index for index, value in enumerate(spelling)}
    index = np.fromiter((-1 if v is None else place[v] for v in values), np.int64, len(values))
    classes = known if known is not None else [str(value) for value in spelling]
    return Labels(index, tuple(classes), spelling)


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


def _number(value: object, limit: int, known: Sequence[str] | None) -> int:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        raise DataError(NO_LABEL)
    whole = isinstance(value, int) and not isinstance(value, bool)
    whole = whole or (isinstance(value, float) and value.is_integer())
    whole = whole or (isinstance(value, str) and WHOLE.fullmatch(value) is not None)
    if not whole:
        raise DataError(
            f"expected a whole number as label like the others, found {brief(value)}; correct it"
        )
    number = int(str(value).partition(".")[0]) if isinstance(value, str) else int(value)  # type: ignore[call-overload]
    if number < 0:
        raise DataError(
            f"expected a label of 0 or more, found {brief(number)}; "
            "negative labels often mark hidden ones"
        )
    if number >= limit:
        why = "which the class names do not reach" if known is not None else "too large for a label"
        raise DataError(
            f"expected a label below {limit}, found {brief(number)}, {why}; "
            "is the label column the right one?"
        )
    return number


def _name(value: object, known: Sequence[str] | None) -> str:
    if value is None or value == "":
        raise DataError(NO_LABEL)
    if not isinstance(value, str):
        raise DataError(f"expected a class name like the others, found {brief(value)}; correct it")
    if NO_UNICODE.search(value):
        raise DataError("expected a class name in UTF-8, found bytes that are none; convert it")
    if known is not None and value not in known:
        raise DataError(f"expected one of the file's class names, found {brief(value)}; correct it")
    return value


def _classes(
    values: set[int | str], known: Sequence[str] | None, numeric: bool
) -> tuple[int | str, ...]:
    if known is not None:
        return tuple(range(len(known))) if numeric else tuple(known)
    largest = max((v for v in values if isinstance(v, int)), default=0)
    if 0 in values and 2 * len(values) >= largest + 1:
        return tuple(range(largest + 1))
    return tuple(sorted(values, key=lambda value: (isinstance(value, str), value)))
