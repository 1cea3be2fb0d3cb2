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
    values: Iterable[object],
    labels: np.ndarray[Any, Any],
    names: Sequence[str],
    reading: Reading,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Check texts one by one; those without a label (negative) are passed over.

    Gives the texts object[n] and the positions int64[n] of the rows that were kept.
    """
    texts: list[str] = []
    kept: list[int] = []
    size = 0
    for row, value in enumerate(values):
        if labels[row] < 0:
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
    inputs = np.empty(len(texts), dtype=object)
    inputs[:] = texts
    return inputs, np.array(kept, dtype=np.int64)
