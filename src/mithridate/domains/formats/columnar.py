"""Parquet and Arrow files in the layout of Hugging Face data sets.

A column of images, struct {bytes, path} or plain bytes, or of texts; a column of labels, numbers or
names; the names of the classes in the schema's "huggingface" metadata. Values are looked at as the
file holds them: a column of repeated values is never written out before its size is known, since a
few bytes can stand for terabytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import option, raised
from mithridate.domains.formats import texts
from mithridate.domains.formats.cells import (
    holds_images,
    is_number,
    is_text,
    plain,
    storable,
    unfold,
    weights,
    without_views,
)
from mithridate.domains.formats.choosing import choose_inputs, gather, joined
from mithridate.domains.formats.columns import (
    choose_label,
    name_columns,
)
from mithridate.domains.formats.identity import own_ids
from mithridate.domains.formats.kinds import SAMPLE, Kind, kind_of
from mithridate.domains.formats.labels import resolve
from mithridate.domains.formats.relaying import fit
from mithridate.domains.formats.schemas import Shard, merged
from mithridate.domains.formats.sound_files import looks_like_sound
from mithridate.domains.formats.source import UNLABELLED, Layout, Reading, Source
from mithridate.domains.registry import Table


def read(shards: Sequence[Shard], reading: Reading, format: str, details: str = "") -> Source:
    """Read the shards one after the other as one data set."""
    schema = merged(shards)
    reading.count(sum(shard.rows for shard in shards), str(reading.root.name))
    features = _features(schema, reading)
    kinds, samples = _kinds(shards, schema, features, reading)
    label = _label(schema, features, reading)
    described = [f"{field.name}: {field.type}" for field in schema if field.name != label]
    table = Table(tuple(schema.names), label, kinds, samples)
    domain, taken = choose_inputs(table, reading, described, format)
    names = [f"{shard.name} row {row}" for shard in shards for row in range(shard.rows)]
    raw = list(_values(shards, label, reading, _labels)) if label else [UNLABELLED] * len(names)
    labels = resolve(raw, names, reading, _class_names(features, label))
    paths: list[str | None] = []
    pictures = holds_images(schema.field(taken[0]).type)
    convert = partial(_images, paths=paths) if pictures else unfold
    inputs, kept = gather(
        domain, taken, lambda column: _values(shards, column, reading, convert),
        lambda: _joined(shards, taken, reading), labels.index, names, reading,
    )  # fmt: skip
    several = joined(domain, taken)
    rest = _rest(shards, schema, {label, *taken} - {*several}, kept, reading)
    layout = Layout(
        file=Path(shards[0].name).name, columns=tuple(schema.names), content=taken[0], label=label,
        spelling=labels.spelling, rest=(schema, rest, [paths[row] for row in kept if paths]),
        details=details, joined=several,
    )  # fmt: skip
    own = None
    if rest is not None:
        own = own_ids(rest.column_names, set(several), lambda c: rest.column(c).to_pylist())
    return reading.finish(
        format, inputs, labels.index[kept], labels.classes, [names[row] for row in kept], layout,
        own,
    )  # fmt: skip


def _joined(shards: Sequence[Shard], columns: Sequence[str], reading: Reading) -> Iterator[Any]:
    """Read several columns of texts as one."""
    rows = zip(*(_values(shards, each, reading, unfold) for each in columns), strict=True)
    return (texts.join(row) for row in rows)


def _kinds(
    shards: Sequence[Shard], schema: pa.Schema, features: dict[str, Any], reading: Reading
) -> tuple[dict[str, Kind], dict[str, Sequence[Any]]]:
    """Say what each column holds, by its type and, where that is text, by its first cells."""
    kinds: dict[str, Kind] = {}
    samples: dict[str, Sequence[Any]] = {}
    for field in schema:
        kind = plain(field.type)
        if holds_images(field.type):
            kinds[field.name] = _encoded(shards, field.name, features, reading)
        elif is_number(kind) or pa.types.is_boolean(kind):
            kinds[field.name] = "number"
        elif pa.types.is_temporal(kind):
            kinds[field.name] = "date"
        elif is_text(kind):
            cells = islice(_values(shards, field.name, reading, unfold), SAMPLE)
            there = [c.decode("utf-8", "replace") if isinstance(c, bytes) else c for c in cells]
            kinds[field.name] = kind_of(there) if any(there) else "text"
            samples[field.name] = there or [""]
        else:
            kinds[field.name] = "other"
    return kinds, samples


def _encoded(
    shards: Sequence[Shard], column: str, features: dict[str, Any], reading: Reading
) -> Kind:
    """Say whether bytes are images or sounds, by what the file says or by the first of them."""
    if features.get(column, {}).get("_type") in ("Image", "Audio"):
        return "sound" if features[column]["_type"] == "Audio" else "image"
    cells = islice(_values(shards, column, reading, partial(_images, paths=[])), SAMPLE)
    for cell in cells:
        if (value := cell.args[0]) is not None:
            return "sound" if looks_like_sound(value) else "image"
    return "image"


def _features(schema: pa.Schema, reading: Reading) -> dict[str, Any]:
    """Read what the Hugging Face metadata say about the columns; {} where there are none."""
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return {}
    try:
        features = json.loads(text)["info"]["features"]
        return {str(k): v for k, v in features.items() if isinstance(v, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        reading.notes.append("The huggingface metadata are broken and were not used.")
        return {}


def _class_names(features: dict[str, Any], label: str) -> list[str] | None:
    names = features.get(label, {}).get("names")
    good = isinstance(names, list) and names and all(isinstance(n, str) for n in names)
    return [texts.NO_UNICODE.sub("\ufffd", name) for name in names] if good else None


def _label(schema: pa.Schema, features: dict[str, Any], reading: Reading) -> str:
    declared = [c for c in schema.names if features.get(c, {}).get("_type") == "ClassLabel"]
    columns = [c for c in schema.names if c != reading.content]
    if len(declared) > 1 and reading.label is None:
        raise DataError(
            f"{str(reading.root)!r}: expected one column of labels, found "
            f"{name_columns(declared)}; "
            f"choose one with {option('label')}"
        )
    asked = declared[0] if declared else None
    label = choose_label(columns, reading, asked)
    if not label:
        return label
    kind = plain(schema.field(label).type)
    if not (is_number(kind) or is_text(kind) or pa.types.is_boolean(kind)):
        raise DataError(
            f"{str(reading.root)!r}: expected numbers or names in column {label!r}, found {kind}; "
            f"choose another with {option('label')}"
        )
    return label


def _values(
    shards: Sequence[Shard], column: str, reading: Reading, convert: Callable[[Any], list[Any]]
) -> Iterator[Any]:
    """Read one column of all shards, value by value."""
    for name, batch in _all(shards, [column], reading):
        yield from _call(name, partial(convert, batch.column(0)))


def _all(
    shards: Sequence[Shard], columns: list[str], reading: Reading
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Read columns of all shards, with every error of the file turned into a DataError.

    Raises:
        UnsafeData: where the values would be larger than the limit when written out.
    """
    size = 0
    for shard in shards:
        batches, rows = shard.batches(columns), 0
        while (batch := _next(batches, shard.name)) is not None:
            rows += batch.num_rows
            batch = _call(shard.name, partial(batch.select, columns))
            size += _call(shard.name, partial(weights, batch))
            if size > reading.limits.total:
                raise UnsafeData(
                    f"{shard.name!r}: expected at most {reading.limits.total} bytes in "
                    f"{name_columns(columns)}, found more; {raised('total')}"
                )
            if rows > shard.rows:
                break
            yield shard.name, batch
        if rows != shard.rows:
            raise DataError(
                f"{shard.name!r}: expected {shard.rows} rows in {name_columns(columns)} as "
                "the file "
                f"says, found {rows}; write it again"
            )


def _next(batches: Iterator[pa.RecordBatch], name: str) -> pa.RecordBatch | None:
    return _call(name, lambda: next(batches, None))


def _call(name: str, action: Callable[[], Any]) -> Any:
    """Run something on untrusted columns; whatever goes wrong is a fault of the file."""
    try:
        return action()
    except DataError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            f"{name!r}: expected whole columns, found broken ones ({reason}); write it again"
        ) from None


def _labels(column: pa.Array) -> list[Any]:
    return [
        value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
        for value in unfold(column)
    ]


def _images(column: pa.Array, paths: list[str | None]) -> list[partial[bytes]]:
    """Give a way to each encoded image, and collect the paths that stand beside them."""
    cells = column
    if pa.types.is_struct(column.type):
        names = [field.name for field in column.type]
        cells = pc.struct_field(column, "bytes")
        if "path" in names and is_text(plain(column.field("path").type)):
            file_names = unfold(pc.struct_field(column, "path"))
            paths += [p if p is None else p.decode("utf-8", "replace") for p in file_names]
    return [partial(_there, value) for value in unfold(cells)]


def _there(value: bytes | None) -> bytes:
    if value is None:
        raise DataError(
            "expected the bytes of an image or a sound, found none; embed them in the file, which "
            "must not only name paths"
        )
    return value


def _rest(
    shards: Sequence[Shard],
    schema: pa.Schema,
    used: set[str],
    kept: np.ndarray[Any, Any],
    reading: Reading,
) -> pa.Table | None:
    """Read the rows of the other columns that were kept; nested columns are left out and noted."""
    others = [c for c in schema.names if c not in used]
    nested = [c for c in others if pa.types.is_nested(schema.field(c).type)]
    if nested:
        reading.notes.append(f"Nested columns will be empty in a copy: {name_columns(nested)}.")
    flat = [c for c in others if c not in nested]
    if not flat:
        return None
    wanted = pa.schema([schema.field(c).with_type(storable(schema.field(c).type)) for c in flat])

    def table() -> pa.Table:
        batches = [_cast(batch, wanted) for _, batch in _all(shards, flat, reading)]
        whole = pa.Table.from_batches(batches, wanted)
        return whole if len(kept) == whole.num_rows else whole.take(kept)

    return _call(str(reading.root), table)


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        fit(without_views(column), field.type)
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
