"""How a table itself names its rows, so that people find them again.

Axes: n rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from mithridate.domains.formats.columns import IDS, is_id, is_index
from mithridate.domains.formats.source import OwnIds


def own_ids(
    columns: Iterable[str],
    used: Collection[str],
    cells: Callable[[str], Iterable[object]],
) -> OwnIds | None:
    """Find the column that names each row once.

    Args:
        columns: All of the table.
        used: Those that hold the labels and the inputs.
        cells: Gives the values of one, [n].

    Returns:
        The first whose name is usual and whose values differ; None where there is none, or only
        the numbers of the rows.
    """
    likely = [c for c in columns if c not in used and is_id(c)]
    for column in sorted(likely, key=_unlikely):
        values = tuple(_spelt(cell) for cell in cells(column))
        if "" in values or len(set(values)) < len(values):
            continue
        if is_index(column) and values == tuple(map(str, range(len(values)))):
            continue
        return OwnIds(column, values)
    return None


def _unlikely(column: str) -> int:
    name = column.strip().lower()
    return IDS.index(name) if name in IDS else len(IDS) + is_index(column)


def _spelt(cell: object) -> str:
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "backslashreplace")
    return "" if cell is None else str(cell)
