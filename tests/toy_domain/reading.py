"""How sequences of events come out of tables and requests."""

import numpy as np

from mithridate.core.errors import DataError


def choose_columns(table, reading):
    """The first column in which every cell holds a ">"."""
    for column in table.columns:
        cells = table.samples.get(column) or [""]
        if column != table.label and all(">" in str(cell) for cell in cells):
            return (column,)
    return ()


def gather(cells, labels, names, reading):
    """Take the cells of rows with a label."""
    kept, values = [], []
    for row, cell in enumerate(cells):
        if labels[row] < 0:
            continue
        if not isinstance(cell, str) or ">" not in cell:
            reading.reject(names[row], "expected events with > between them")
            continue
        kept.append(row)
        values.append(cell)
    return np.array(values, dtype=object), np.array(kept, dtype=np.int64)


def requests(form):
    """Read single sequences."""
    return Requests()


class Requests:
    media = ()

    def from_body(self, body):
        raise DataError("expected events in JSON")

    def from_json(self, value):
        if not isinstance(value, str) or ">" not in value:
            raise DataError("expected events with > between them")
        return value

    def stack(self, inputs):
        return np.array(list(inputs), dtype=object)
