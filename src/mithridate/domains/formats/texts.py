"""Texts from outside, checked one by one.

Axes: n texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import raised
from mithridate.domains.formats.picture_index import refuse_names
from mithridate.domains.formats.source import Limits, Reading, brief

NO_UNICODE = re.compile("[\ud800-\udfff]")
"""Halves of surrogate pairs: what bytes that are no UTF-8 are read as."""


def check(value: object, limits: Limits) -> str:
    """Give a usable text back.

    Raises:
        DataError: where there is none, or only blanks, or it is no Unicode.
        UnsafeData: where it is longer than the limit.
    """
    if isinstance(value, bytes):
        try:
            value = value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"expected text in UTF-8, found byte 0x{error.object[error.start]:02x} at position "
                f"{error.start}; convert the file to UTF-8"
            ) from None
    if value is None:
        raise DataError("expected a text, found none; fill it in or remove the example")
    if not isinstance(value, str):
        raise DataError(
            f"expected a text, found {brief(value)}; is the content column the right one?"
        )
    if len(value) > limits.text:
        raise UnsafeData(
            f"expected at most {limits.text} characters, found {len(value)}; "
            f"cut the text, or {raised('text')}"
        )
    if not value.strip():
        raise DataError("expected a text, found an empty one; fill it in or remove the example")
    if NO_UNICODE.search(value):
        raise DataError("expected text in UTF-8, found bytes that are none; convert it to UTF-8")
    return value


def gather(
    values: Iterable[object], labels: np.ndarray[Any, Any], names: Sequence[str], reading: Reading,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:  # fmt: skip
    """Check texts one by one; those without a label (negative) are passed over.

    Gives the texts object[n] and the positions int64[n] of the rows that were kept. Where examples
    are drawn ahead, the texts are those of the drawn ones alone, and positions of all.
    """
    wanted = reading.wanted(labels)
    texts: list[str] = []
    kept: list[int] = []
    size = 0
    for row, value in enumerate(values):
        if not wanted[row]:
            continue
        try:
            texts.append(check(value, reading.limits))
        except DataError as error:
            reading.reject(names[row], str(error), type(error))
            continue
        kept.append(row)
        size += len(texts[-1])
        if size > reading.limits.total:
            raise UnsafeData(
                f"{str(reading.root)!r}: expected at most {reading.limits.total} characters in "
                f"all, found more; {raised('total')}"
            )
    refuse_names(texts, reading)
    inputs = np.empty(len(texts), dtype=object)
    inputs[:] = texts
    if reading.draws_ahead:
        return inputs, np.flatnonzero(labels >= 0)
    return inputs, np.array(kept, dtype=np.int64)


SEAM = "\n"
"""What stands between texts of several columns that are read as one."""


def join(cells: Sequence[object]) -> object:
    """Make one text of the cells of several columns, without the empty ones.

    What is no text is given back alone, so that it is refused by its value.
    """
    there = [cell for cell in cells if cell is not None and cell != "" and cell != b""]
    strange = [cell for cell in there if not isinstance(cell, str | bytes)]
    if strange or not there:
        return strange[0] if strange else None
    if all(isinstance(cell, bytes) for cell in there):
        return SEAM.encode().join(there)  # type: ignore[arg-type]
    return SEAM.join(str(cell) for cell in there)


def part(text: str, cells: Sequence[str]) -> list[str]:
    """Give each column its part of a joined text that may have been changed.

    Args:
        text: What was made of `cells` by `join`, and perhaps changed within its lines.
        cells: What the columns held.

    Raises:
        DataError: Lines were added or taken away, so that the seams are lost.

    """
    lines = text.split(SEAM)
    held = [cell.count(SEAM) + 1 if cell else 0 for cell in cells]
    if sum(held) != len(lines):
        raise DataError(
            "expected a joined text with as many lines as its columns had, found "
            f"{len(lines)} and not {sum(held)}; read a single column, or write another format"
        )
    rest = iter(lines)
    return [SEAM.join(next(rest) for _ in range(count)) for count in held]
