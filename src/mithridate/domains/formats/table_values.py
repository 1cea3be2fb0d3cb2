"""Rows of a table, read column by column: each is looked at to its end before it is a kind.

Axes: n rows, m of them that are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import option, raised
from mithridate.domains.formats.remarks import remarks
from mithridate.domains.formats.source import Reading
from mithridate.domains.formats.texts import NO_UNICODE
from mithridate.domains.formats.typed import DTYPES, Typed, typed


def gather_columns(
    columns: Sequence[str], column: Callable[[str], Iterable[Any]], labels: Any,
    names: Sequence[str], reading: Reading,
) -> tuple[Any, Any]:  # fmt: skip
    """Read columns to their ends, say what each holds, and put their values into rows.

    Where examples are drawn ahead, the rows are those of the drawn ones alone, and positions of
    all that have a label.

    Args:
        columns: Their names.
        column: Gives the cells of one, [n].
        labels: int64[n], negative where a row has none.
        names: Of the rows, [n].
        reading: What was asked for, and where notes go.

    Returns:
        A structured array [m], and the positions of its rows, int64.

    Raises:
        DataError: A cell is none that its column can hold.
        UnsafeData: The values take more memory than the limit.
    """
    _check(columns, len(names), reading)
    parts: dict[str, Typed] = {}
    wrong: dict[int, str] = {}
    for name in columns:
        parts[name] = typed(column(name), name, category=name in reading.categories)
        for row, reason in parts[name].wrong.items():
            wrong.setdefault(row, reason)
    for row in sorted(wrong):
        if labels[row] >= 0:
            reading.reject(names[row], wrong[row])
    wanted = reading.wanted(labels)
    wanted[list(wrong)] = False
    reading.notes += remarks(parts, labels, labels >= 0)
    reading.settings["columns"] = [{"name": n, "kind": each.kind} for n, each in parts.items()]
    there = np.flatnonzero(labels >= 0) if reading.draws_ahead else np.flatnonzero(wanted)
    return _rows(parts, wanted), there


def _check(columns: Sequence[str], rows: int, reading: Reading) -> None:
    size = 8 * rows * len(columns)
    if size > reading.limits.total:
        raise UnsafeData(
            f"{str(reading.root)!r}: expected at most {reading.limits.total} bytes of values, "
            f"found {size}; {raised('total')}, or choose columns with {option('content')}"
        )
    broken = [name for name in columns if NO_UNICODE.search(name)]
    if broken:
        raise DataError(
            f"{str(reading.root)!r}: expected names of columns in UTF-8, found {broken[0]!r}; "
            "convert the file"
        )


def _rows(parts: dict[str, Typed], wanted: Any) -> Inputs:
    dtype = np.dtype([(name, DTYPES[each.kind]) for name, each in parts.items()])
    rows = np.empty(int(wanted.sum()), dtype=dtype)
    for name, each in parts.items():
        rows[name] = each.values[wanted]
    return rows
