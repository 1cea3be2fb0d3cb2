"""Valid ways to write one table of texts: whatever the way, the same examples are read."""

from __future__ import annotations

import csv
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from mithridate.domains.formats import read, write

N = 24
TEXTS = [f'film {i}, "quite" good; or | not\tso' if i % 3 else f"Übler Film {i}" for i in range(N)]

ENCODINGS = {
    "indices": int, "from one": lambda k: k + 1, "around zero": lambda k: k - 1,
    "floats": float, "digits": str, "names": lambda k: ("bad", "good", "so-so")[k],
    "fractions": lambda k: f"{k}.0",
    "signs": lambda k: 2 * k - 1, "spelt signs": lambda k: f"{2 * k - 1:+d}",
    "float signs": lambda k: 2.0 * k - 1, "truth": bool,
    "small truth": lambda k: str(bool(k)).lower(),
}  # fmt: skip
"""How the classes 0, 1, 2 may be written; those after "fractions" have two."""

OF_TWO = list(ENCODINGS)[7:]
TEXT_NAMES = ("text", "sentence", "Review", "body")
LABEL_NAMES = ("label", "target", "Sentiment", "category")
EXTRAS = ("index", "id", "number", "remark")
INTEGERS = ("int8", "int16", "int32", "int64")
STRINGS = ("string", "large_string", "categories") + (
    ("view",) if hasattr(pa, "string_view") else ()
)
LINES = ("csv", "tsv", "semicolon.csv", "pipe.csv", "tab.csv", "headless.csv", "jsonl", "json")
COLUMNS = ("parquet", "feather", "arrow", "stream", "shards")


@dataclass(frozen=True)
class Variant:
    """One way to write the table."""

    format: str
    encoding: str
    names: tuple[str, str]
    extras: tuple[str, ...]
    label_first: bool
    integer: str
    string: str


def variants() -> st.SearchStrategy[Variant]:
    return st.builds(
        Variant,
        st.sampled_from([*LINES, *COLUMNS]),
        st.sampled_from(list(ENCODINGS)),
        st.tuples(st.sampled_from(TEXT_NAMES), st.sampled_from(LABEL_NAMES)),
        st.lists(st.sampled_from(EXTRAS), unique=True, max_size=3).map(tuple),
        st.booleans(),
        st.sampled_from(INTEGERS),
        st.sampled_from(STRINGS),
    )


def classes(variant: Variant) -> list[int]:
    """The class of every row."""
    return [i % (2 if variant.encoding in OF_TWO else 3) for i in range(N)]


def table(variant: Variant) -> dict[str, list[object]]:
    """The columns of a variant, in their order."""
    text, label = variant.names
    labels = [ENCODINGS[variant.encoding](k) for k in classes(variant)]
    columns: dict[str, list[object]] = {text: TEXTS, label: labels}
    if variant.label_first:
        columns = {label: labels, text: TEXTS}
    more = {
        "index": ("" if variant.format in LINES[:5] else "Unnamed: 0", list(range(N))),
        "id": ("id", [f"r{i}" for i in range(N)]),
        "number": ("length", [len(t) for t in TEXTS]),
        "remark": ("remark", [f"seen {i % 5} times" for i in range(N)]),
    }
    for extra in variant.extras:
        name, cells = more[extra]
        columns = {name: cells, **columns} if extra == "index" else {**columns, name: cells}
    return columns


def typed(cells: list[object], variant: Variant) -> pa.Array:
    """A column in the types of a variant."""
    array = pa.array(cells)
    if pa.types.is_integer(array.type):
        return array.cast(variant.integer)
    if not pa.types.is_string(array.type):
        return array
    if variant.string == "categories":
        return array.dictionary_encode()
    kinds = {"string": pa.string(), "large_string": pa.large_string()}
    return array.cast(kinds[variant.string] if variant.string in kinds else pa.string_view())


def save(variant: Variant, folder: Path) -> tuple[Path, dict[str, object]]:
    """Write a variant; gives the path and what must be said to read it."""
    columns = table(variant)
    if variant.format in LINES:
        return save_lines(variant, columns, folder)
    arrays = pa.table({name: typed(cells, variant) for name, cells in columns.items()})
    if variant.format == "parquet":
        pq.write_table(arrays, folder / "a.parquet", row_group_size=7)
    elif variant.format == "shards":
        wide = pa.table({name: pa.array(cells) for name, cells in columns.items()})
        for number, part in enumerate((arrays.slice(0, 10), wide.slice(10))):
            pq.write_table(part, folder / f"part-{number}.parquet")
        return folder, {}
    else:
        new = pa.ipc.new_stream if variant.format == "stream" else pa.ipc.new_file
        options = pa.ipc.IpcWriteOptions(
            compression="zstd" if variant.format == "feather" else None
        )
        with (
            (folder / f"a.{variant.format.replace('stream', 'arrow')}").open("wb") as file,
            new(file, arrays.schema, options=options) as out,
        ):
            out.write_table(arrays, max_chunksize=9)
    return next(folder.iterdir()), {}


def save_lines(
    variant: Variant, columns: dict[str, list[object]], folder: Path
) -> tuple[Path, dict[str, object]]:
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    path = folder / f"a.{variant.format.rpartition('.')[2]}"
    if variant.format in ("jsonl", "json"):
        objects = [dict(zip(columns, row, strict=True)) for row in rows]
        lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects)
        path.write_text(json.dumps(objects) if variant.format == "json" else lines, "utf-8")
        return path, {}
    kind = variant.format.partition(".")[0]
    delimiter = {"semicolon": ";", "pipe": "|", "tab": "\t", "tsv": "\t"}.get(kind, ",")
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, delimiter=delimiter)
        out.writerows(rows if kind == "headless" else [list(columns), *rows])
    return path, {"columns": list(columns)} if kind == "headless" else {}


def test_every_way_to_write_a_table_is_read_the_same():
    seen: set[Variant] = set()

    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(variants())
    def check(variant: Variant) -> None:
        seen.add(variant)
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "in").mkdir()
            path, options = save(variant, Path(place) / "in")
            source = read(path, **options)
            assert source.data.inputs.tolist() == TEXTS
            assert source.data.labels.tolist() == classes(variant)
            assert len(source.data.classes) == max(classes(variant)) + 1
            assert (source.own_ids is None) == ("id" not in variant.extras)
            write(source.data, source.names, source, Path(place) / "out")
            again = read(Path(place) / "out", **options)
            assert again.data.inputs.tolist() == TEXTS and again.data.classes == source.data.classes
            assert np.array_equal(again.data.labels, source.data.labels)

    check()
    assert len(seen) >= 60
    assert {each.format for each in seen} == {*LINES, *COLUMNS}
    assert {each.encoding for each in seen} == {*ENCODINGS}
