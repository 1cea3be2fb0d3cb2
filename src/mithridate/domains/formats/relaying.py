"""Laying rows out in the columns, types and metadata of the source they came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from mithridate.core.data import Dataset
from mithridate.domains.formats.images import encode
from mithridate.domains.formats.source import Layout

BATCH = 1024


def batches(data: Dataset, layout: Layout) -> Iterator[pa.RecordBatch]:
    """Lay rows out as the source had them, piece by piece, for a writer."""
    schema, rest, paths = layout.rest
    for start in range(0, len(data), BATCH):
        rows = data.subset(range(start, min(start + BATCH, len(data))))
        ids = rows.ids.tolist()
        if isinstance(rows.inputs, np.ndarray):
            cells = list(rows.inputs)
        else:
            cells = [encode(image) for image in rows.inputs]
        columns = {
            layout.content: _cells(cells, [paths[i] for i in ids] if paths else [], schema, layout),
            layout.label: pa.array([layout.spelling[i] for i in rows.labels.tolist()]),
        }
        others = None if rest is None else rest.take(ids).combine_chunks()
        arrays = [
            _fit(columns[field.name], field.type) if field.name in columns
            else others.column(field.name).combine_chunks()
            if others is not None and field.name in others.column_names
            else pa.nulls(len(ids), field.type)
            for field in schema
        ]  # fmt: skip
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cells(
    cells: list[Any], paths: list[str | None], schema: pa.Schema, layout: Layout
) -> pa.Array:
    kind = schema.field(layout.content).type
    if not pa.types.is_struct(kind):
        return pa.array(cells)
    parts = {"bytes": pa.array(cells, pa.binary())}
    if paths:
        parts["path"] = pa.array(paths, pa.string())
    arrays = [
        _fit(parts[f.name], f.type) if f.name in parts else pa.nulls(len(cells), f.type)
        for f in kind
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def _fit(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast a column to the type of the source; categories are encoded anew."""
    if column.type == kind:
        return column
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type).dictionary_encode().cast(kind)
    return column.cast(kind)
