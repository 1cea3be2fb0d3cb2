"""Laying rows out in the columns, types and metadata of the source they came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from mithridate.core.data import Dataset
from mithridate.domains.formats.cells import plain, storable
from mithridate.domains.formats.media import encode
from mithridate.domains.formats.source import Layout
from mithridate.domains.formats.texts import part
from mithridate.domains.formats.typed import KINDS, cell_of

BATCH = 1024


def batches(data: Dataset, layout: Layout) -> Iterator[pa.RecordBatch]:
    """Lay rows out as the source had them, piece by piece, for a writer."""
    schema, rest, paths = layout.rest
    for start in range(0, len(data), BATCH):
        rows = data.subset(range(start, min(start + BATCH, len(data))))
        ids = rows.ids.tolist()
        others = None if rest is None else rest.take(ids).combine_chunks()
        columns = {
            **_contents(rows, layout, others, [paths[i] for i in ids] if paths else []),
            layout.label: _spelt([layout.spelling[i] for i in rows.labels.tolist()], layout),
        }
        arrays = [
            fit(columns[field.name], field.type) if field.name in columns
            else fit(others.column(field.name).combine_chunks(), field.type)
            if others is not None and field.name in others.column_names
            else pa.nulls(len(ids), field.type)
            for field in schema
        ]  # fmt: skip
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _contents(
    rows: Dataset, layout: Layout, others: pa.Table | None, paths: list[str | None]
) -> dict[str, pa.Array]:
    """Lay inputs out as the columns that they were read from."""
    schema = layout.rest[0]
    if not isinstance(rows.inputs, np.ndarray):
        cells = [encode(image, layout) for image in rows.inputs]
        return {layout.content: _cells(cells, paths, schema, layout)}
    if rows.inputs.dtype.names and others is not None:
        return _values(rows.inputs, others, schema)
    if not layout.joined or others is None:
        return {layout.content: _cells(list(rows.inputs), paths, schema, layout)}
    before = [others.column(column).to_pylist() for column in layout.joined]
    parts = [
        [new if old else old for new, old in zip(part(text, [c or "" for c in olds]), olds,
                                                 strict=True)]
        for text, olds in zip(rows.inputs, zip(*before, strict=True), strict=True)
    ]  # fmt: skip
    return {
        column: pa.array(cells, pa.large_string())
        for column, cells in zip(layout.joined, zip(*parts, strict=True), strict=True)
    }


def _values(rows: np.ndarray[Any, Any], others: pa.Table, schema: pa.Schema) -> dict[str, pa.Array]:
    """Lay values of a table out in the types of their columns."""
    columns: dict[str, pa.Array] = {}
    for name in rows.dtype.names or ():
        kind, target = KINDS[rows.dtype[name]], plain(schema.field(name).type)
        olds = others.column(name).to_pylist()
        cells = [
            cell_of(old, new, kind) for old, new in zip(olds, rows[name].tolist(), strict=True)
        ]
        if pa.types.is_boolean(target):
            cells = [{"true": True, "false": False}.get(str(c).lower(), c) for c in cells]
        columns[name] = pa.array(cells, storable(target))
    return columns


def _spelt(labels: list[Any], layout: Layout) -> pa.Array:
    """Lay labels out; the file's own type takes what Arrow would guess to be another."""
    kind = layout.rest[0].field(layout.label).type
    return pa.array(labels) if pa.types.is_dictionary(kind) else pa.array(labels, kind)


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
        fit(parts[f.name], f.type) if f.name in parts else pa.nulls(len(cells), f.type)
        for f in kind
    ]
    return pa.StructArray.from_arrays(arrays, fields=list(kind))


def fit(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Cast a column to another type; categories are encoded anew."""
    if column.type == kind:
        return column
    if not pa.types.is_dictionary(kind):
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return column.cast(kind)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return pa.DictionaryArray.from_arrays(
        column.indices.cast(kind.index_type), column.dictionary.cast(kind.value_type),
        ordered=kind.ordered,
    )  # fmt: skip
