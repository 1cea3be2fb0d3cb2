"""Files that pandas, Polars and DuckDB write are read like the plain table that they hold."""

from __future__ import annotations

import pyarrow as pa
import pytest

from domains.formats.made import make_parquet
from mithridate.core.errors import DataError
from mithridate.domains.formats import read, write

TEXTS = [f'film {i}, "quite" good; or not' for i in range(24)]
LABELS = {
    "around zero": [i % 3 - 1 for i in range(24)],
    "truth": [i % 2 == 0 for i in range(24)],
    "names": [("bad", "good", "so-so")[i % 3] for i in range(24)],
    "floats": [float(i % 2) for i in range(24)],
}
IDS = [f"r{7 * i % 24}" for i in range(24)]


@pytest.fixture(params=LABELS)
def columns(request):
    return {"review_id": IDS, "text": TEXTS, "label": LABELS[request.param]}


@pytest.fixture
def plain(columns, tmp_path):
    """The same table as Arrow writes it."""
    return read(make_parquet(tmp_path / "plain.parquet", pa.table(columns)))


def check(path, plain, tmp_path, **options):
    """Compare what is read with the plain form, and with what is written back."""
    source = read(path, **options)
    assert source.data.inputs.tolist() == TEXTS
    assert source.data.classes == plain.data.classes
    assert source.data.labels.tolist() == plain.data.labels.tolist()
    assert source.own_ids is not None and source.own_ids.values == tuple(IDS)
    write(source.data, source.names, source, tmp_path / "out" / path.name)
    again = read(tmp_path / "out" / path.name, **options).data
    assert again.inputs.tolist() == TEXTS and again.classes == plain.data.classes
    assert again.labels.tolist() == plain.data.labels.tolist()
    return tmp_path / "out" / path.name


PANDAS = {
    "index.csv": lambda frame, path: frame.to_csv(path),
    "plain.csv": lambda frame, path: frame.to_csv(path, index=False),
    "semicolon.csv": lambda frame, path: frame.to_csv(path, sep=";"),
    "a.tsv": lambda frame, path: frame.to_csv(path, sep="\t", index=False),
    "lines.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "array.json": lambda frame, path: frame.to_json(path, orient="records"),
    "a.parquet": lambda frame, path: frame.to_parquet(path),
    "shuffled.parquet": lambda frame, path: frame.set_axis(range(24, 0, -1)).to_parquet(path),
    "a.feather": lambda frame, path: frame.to_feather(path),
    "categories.parquet": lambda frame, path: frame.astype(
        {"label": "category", "text": "category"}
    ).to_parquet(path),
}


@pytest.mark.parametrize("name", PANDAS)
def test_what_pandas_writes_is_read(name, columns, plain, tmp_path):
    pandas = pytest.importorskip("pandas")

    PANDAS[name](pandas.DataFrame(columns), tmp_path / name)
    check(tmp_path / name, plain, tmp_path)


def test_the_default_json_of_pandas_is_refused_with_the_way_out(columns, tmp_path):
    pandas = pytest.importorskip("pandas")

    pandas.DataFrame(columns).to_json(tmp_path / "a.json")
    with pytest.raises(DataError, match="orient='records'"):
        read(tmp_path / "a.json")


POLARS = {
    "a.csv": lambda frame, path: frame.write_csv(path),
    "pipe.csv": lambda frame, path: frame.write_csv(path, separator="|"),
    "lines.jsonl": lambda frame, path: frame.write_ndjson(path),
    "array.json": lambda frame, path: frame.write_json(path),
    "a.parquet": lambda frame, path: frame.write_parquet(path),
    "a.arrow": lambda frame, path: frame.write_ipc(path),
    "small.arrow": lambda frame, path: frame.write_ipc(path, compression="zstd"),
    "stream.arrow": lambda frame, path: frame.write_ipc_stream(path),
}


if not hasattr(pa, "string_view"):
    del POLARS["a.arrow"], POLARS["small.arrow"], POLARS["stream.arrow"]  # views came with Arrow 16


@pytest.mark.parametrize("name", POLARS)
def test_what_polars_writes_is_read_and_reads_what_is_written_back(name, columns, plain, tmp_path):
    polars = pytest.importorskip("polars")

    POLARS[name](polars.DataFrame(columns), tmp_path / name)
    written = check(tmp_path / name, plain, tmp_path)
    if name.endswith("parquet"):
        assert polars.read_parquet(written).equals(polars.DataFrame(columns))


@pytest.mark.parametrize("name", [name for name in ("a.parquet", "a.arrow") if name in POLARS])
@pytest.mark.parametrize("kind", ["Categorical", "Enum"])
@pytest.mark.parametrize("role", ["label", "rest"])
def test_categories_of_polars_stay_what_they_are(name, kind, role, tmp_path):
    polars = pytest.importorskip("polars")

    words = LABELS["names"]
    values = ["so-so", "never", "good", "bad"]  # an order of its own, and one that is not used
    type = polars.Enum(values) if kind == "Enum" else polars.Categorical
    frame = polars.DataFrame({"text": TEXTS, "label": words, "rest": words[::-1]}).with_columns(
        polars.col(role).cast(type)
    )
    POLARS[name](frame, tmp_path / name)
    source = read(tmp_path / name)
    assert source.data.classes == ("bad", "good", "so-so")
    assert [source.data.classes[k] for k in source.data.labels] == words
    part = source.data.subset([5, 1, 2])
    write(part, ["x"] * 3, source, tmp_path / "out" / name)
    load = polars.read_parquet if name.endswith("parquet") else polars.read_ipc
    again = load(tmp_path / "out" / name)
    assert again.schema == frame.schema or role == "label"  # categories that are used are kept
    assert again.rows() == frame[[5, 1, 2]].rows()


DUCKDB = {
    "a.csv": "", "pipe.csv": "(delimiter '|')", "a.parquet": "", "small.parquet": "(codec zstd)",
    "lines.jsonl": "(format json)", "array.json": "(array true)",
}  # fmt: skip


@pytest.mark.parametrize("name", DUCKDB)
def test_what_duckdb_writes_is_read(name, columns, plain, tmp_path):
    duckdb = pytest.importorskip("duckdb")

    with duckdb.connect() as base:
        base.register("films", pa.table(columns))
        base.execute(f"copy (from films) to '{tmp_path / name}' {DUCKDB[name]}")
    check(tmp_path / name, plain, tmp_path)


def test_lines_of_duckdb_without_names_are_read_with_names(columns, plain, tmp_path):
    duckdb = pytest.importorskip("duckdb")

    with duckdb.connect() as base:
        base.register("films", pa.table(columns))
        base.execute(f"copy (from films) to '{tmp_path / 'a.csv'}' (header false)")
    check(tmp_path / "a.csv", plain, tmp_path, columns="review_id,text,label")


@pytest.mark.parametrize("kind", ["hugeint", "utinyint", "decimal(9, 2)", "double", "bigint"])
def test_numbers_of_duckdb_are_labels(kind, tmp_path):
    duckdb = pytest.importorskip("duckdb")

    with duckdb.connect() as base:
        base.register("films", pa.table({"text": TEXTS, "label": [i % 3 for i in range(24)]}))
        base.execute(
            f"copy (select text, label::{kind} as label from films) to '{tmp_path / 'a.parquet'}'"
        )
    source = read(tmp_path / "a.parquet")
    assert source.data.classes == ("0", "1", "2")
    assert source.data.labels.tolist() == [i % 3 for i in range(24)]
