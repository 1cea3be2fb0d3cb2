"""Tables of numbers and categories as people have them: read to the end, said, and written back."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domains.formats.test_formats_tables import FORMATS, noted, refused, save
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import Limits, read, write
from mithridate.domains.formats.typed import typed
from mithridate.domains.named_tables import held_back
from mithridate.domains.registry import in_columns, requests_like
from mithridate.pipelines.examples import beside

N = 40
LABEL = ["good", "bad"] * (N // 2)


def table(**more):
    """Columns of every kind; those that are given come before the label."""
    rng = np.random.default_rng(0)
    return {
        "port": rng.integers(0, 9, N).tolist(),
        "rate": rng.random(N).tolist(),
        "proto": ["tcp", "udp", "icmp", "tcp"] * (N // 4),
        "size": rng.integers(0, 2**40, N).tolist(),
        **more,
        "label": LABEL,
    }


def kinds(source):
    return {column.name: column.kind for column in source.domain.columns}


@pytest.mark.parametrize("format", FORMATS)
def test_a_table_reads_alike_in_every_format(tmp_path, format):
    source = read(save(tmp_path, format, **table(open=[True, False] * (N // 2))))
    rows, columns = source.data.inputs, table()
    assert kinds(source) == {
        "port": "integer", "rate": "number", "proto": "category", "size": "integer",
        "open": "category",
    }  # fmt: skip
    for name in ("port", "rate", "proto", "size"):
        assert rows[name].tolist() == columns[name]
    assert rows["open"].tolist() == ["true", "false"] * (N // 2)
    assert source.data.classes == ("bad", "good")


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_the_same_table_but_for_what_changed(tmp_path, format):
    path = save(tmp_path, format, **table(open=[True, False] * (N // 2), id=list(range(N))))
    source = read(path)
    rows = source.data.inputs.copy()
    rows["proto"][0], rows["port"][1], rows["rate"][2] = "sctp", 777, 0.125
    write(source.data.with_inputs(rows), source.names, source, tmp_path / "again")
    again = read(tmp_path / f"again/{path.name}")
    assert again.data.inputs.tolist() == rows.tolist()
    assert again.own_ids.values == source.own_ids.values
    untouched = tmp_path / "untouched"
    write(source.data, source.names, source, untouched)
    if format == "csv":
        assert (untouched / path.name).read_text().split() == path.read_text().split()
    if format == "parquet":
        assert pq.read_table(untouched / path.name).equals(pq.read_table(path))


def test_a_column_is_looked_at_to_its_end():
    """Pandas gives one column with 1 and "1" in it; 600,000 rows down a text still counts."""
    far = ["1"] * 600_000 + ["abc"]
    column = typed(far, "port")
    assert column.kind == "integer" or list(column.wrong) == [600_000]
    assert "--categories" in column.wrong[600_000] or "categories=" in column.wrong[600_000]
    said = typed(far, "port", category=True)
    assert said.kind == "category" and not said.wrong and set(said.values) == {"1", "abc"}
    mixed = typed(["1"] * 600 + ["abc"] * 100, "port")
    assert mixed.kind == "category" and not mixed.wrong


def test_a_stray_text_among_numbers_names_its_row_and_the_way_out(tmp_path):
    strange = ["7"] * (N - 1) + ["seven"]
    path = save(tmp_path, "csv", **table(count=strange))
    refused(path, f"data.csv row {N - 1}", "'count'", "'seven'", "categories=count")
    assert len(read(path, keep_going=True).data) == N - 1
    assert kinds(read(path, categories="count"))["count"] == "category"


@pytest.mark.parametrize("mark", ["", "NA", "nan", "?", "-", "null"])
def test_missing_numbers_are_missing_and_said(tmp_path, mark):
    holes = [mark, *map(str, range(N - 1))]
    source = read(save(tmp_path, "csv", **table(count=holes)))
    assert math.isnan(source.data.inputs["count"][0]) and kinds(source)["count"] == "number"
    noted(source, "missing values", "'count'")


def test_missing_categories_and_a_dash_that_is_one(tmp_path):
    source = read(save(tmp_path, "csv", **table(service=["", "-", "http", "ftp"] * (N // 4))))
    assert set(source.data.inputs["service"]) == {"", "-", "http", "ftp"}


def test_infinities_codes_and_numbers_that_are_too_large(tmp_path):
    speed = ["Infinity", *map(str, range(N - 1))]
    more = {"speed": speed, "code": ["007", "07", "7", "1"] * (N // 4), "same": ["0"] * N}
    more["huge"] = [str(2**63 + i) for i in range(N)]
    source = read(save(tmp_path, "csv", **table(**more)))
    assert kinds(source)["code"] == "category" and np.isinf(source.data.inputs["speed"][0])
    noted(source, "infinite", "'speed'")
    noted(source, "too large", "'huge'")
    noted(source, "same value", "'same'")


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_dates_are_passed_over_and_said(tmp_path, format):
    days = pd.date_range("2020-01-01", periods=N)
    cells = [str(day.date()) for day in days] if format == "csv" else days
    path = save(tmp_path, format, **table(day=cells))
    source = read(path)
    assert "day" not in kinds(source)
    noted(source, "'day'", "dates")
    refused(path, "'day'", "dates", content="port,day")


def test_columns_are_chosen_left_out_and_misspelt(tmp_path):
    path = save(tmp_path, "csv", **table())
    assert list(kinds(read(path, content="rate,port"))) == ["port", "rate"]
    assert list(kinds(read(path, without="rate,port"))) == ["proto", "size"]
    assert kinds(read(path, categories="port"))["port"] == "category"
    refused(path, "did you mean 'port'", without="prt")
    refused(path, "did you mean 'port'", categories="prt")


def test_any_column_is_a_label_and_a_second_label_is_said(tmp_path):
    path = save(tmp_path, "csv", **table(kind=[f"k{i % 4}" for i in range(N)]))
    source = read(path, label="kind")
    assert source.data.classes == ("k0", "k1", "k2", "k3")
    noted(source, "say the label", "'label'", "without=")
    assert read(path, label="port").data.classes[0] == "0"


def test_categories_of_parquet_are_decoded_batch_by_batch(tmp_path):
    """Two groups of rows whose dictionaries number the same words in another order."""
    path = tmp_path / "a.parquet"
    parts = [pa.table({**table(), "proto": pa.array(words).dictionary_encode()})
             for words in (["tcp", "udp"] * (N // 2), ["udp", "tcp"] * (N // 2))]  # fmt: skip
    with pq.ParquetWriter(path, parts[0].schema) as out:
        for part in parts:
            out.write_table(part)
    assert read(path).data.inputs["proto"].tolist() == ["tcp", "udp"] * (N // 2) + [
        "udp", "tcp"] * (N // 2)  # fmt: skip


def test_a_table_of_too_many_values_is_refused_before_it_is_read(tmp_path):
    path = save(tmp_path, "parquet", **table())
    refused(path, "bytes of values", kind=UnsafeData, limits=Limits(total=4 * N * 8 - 1))


# --- two tables


def both(tmp_path, other, **options):
    """Read a table, and another one beside it."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = read(save(tmp_path / "one", "csv", **table()))
    return first, read(save(tmp_path / "two", "csv", **other), **options)


def test_reordered_columns_are_put_in_order(tmp_path):
    turned = dict(reversed(table().items()))
    first, other = both(tmp_path, turned)
    laid = beside(first, other, "trusted").inputs
    assert laid.dtype == first.data.inputs.dtype and laid.tolist() == first.data.inputs.tolist()


def test_other_columns_are_named(tmp_path):
    columns = table(extra=list(range(N)))
    del columns["size"]
    first, other = both(tmp_path, columns)
    with pytest.raises(DataError, match="without 'size' and with 'extra'"):
        beside(first, other, "trusted")


def test_a_column_of_another_kind_is_an_error(tmp_path):
    first, other = both(tmp_path, {**table(), "port": ["a", "b"] * (N // 2)})
    with pytest.raises(DataError, match="expected numbers in column 'port'"):
        beside(first, other, "trusted")


def test_whole_numbers_are_numbers_where_the_others_are(tmp_path):
    first, other = both(tmp_path, {**table(), "rate": [1, 2] * (N // 2), "proto": [""] * N})
    laid = beside(first, other, "trusted").inputs
    assert laid["rate"].dtype == np.float64 and laid["proto"].tolist() == [""] * N


def test_a_network_gets_its_columns_in_its_own_order(tmp_path):
    domain = read(save(tmp_path, "csv", **table())).domain
    turned = [(c.name, c.kind) for c in reversed(domain.columns)]
    assert [c.name for c in in_columns(domain, turned).columns] == [name for name, _ in turned]
    assert in_columns(domain, ()) is domain
    with pytest.raises(DataError, match="not expected: \\['size'\\]"):
        in_columns(domain, turned[1:])
    with pytest.raises(DataError, match="'category' in column 'port'"):
        in_columns(domain, [(n, "category" if n == "port" else k) for n, k in turned])


# --- requests


def test_rows_arrive_as_objects(tmp_path):
    source = read(save(tmp_path, "csv", **table()))
    reader = requests_like(source.domain, (4,))
    rows = [
        reader.from_json({"proto": "tcp", "rate": 1, "port": 3, "size": 7}),
        reader.from_json({"port": None, "rate": None, "proto": None, "size": 8}),
    ]
    stacked = reader.stack(rows)
    assert stacked["proto"].tolist() == ["tcp", ""] and math.isnan(stacked["port"][1])
    assert source.domain.prepare(stacked).shape == (2, 4)
    good = {"port": 1, "rate": 1.5, "proto": "tcp", "size": 7}
    wrong = (
        [1, 2, 3, 4], {"port": 1}, {**good, "more": 1}, {**good, "port": "1"},
        {**good, "rate": math.nan}, {**good, "size": 2**63}, {**good, "proto": "x" * 2000},
        {**good, "proto": ["tcp"]}, {**good, "port": True},
    )  # fmt: skip
    for each in wrong:
        with pytest.raises(DataError):
            reader.from_json(each)


# --- sets with one file


def test_equal_rows_lie_on_one_side_whatever_their_order():
    rows = np.array([(i % 30, math.nan) for i in range(90)], dtype=[("a", "i8"), ("b", "f8")])
    held = held_back(rows)
    sides = {}
    for row, side in zip(rows["a"].tolist(), held.tolist(), strict=True):
        assert sides.setdefault(row, side) == side
    assert sum(sides.values()) == 6 and (held_back(rows) == held).all()


def test_parts_of_one_file_are_not_the_same_examples(tmp_path):
    first = read(save(tmp_path, "csv", **table()))
    train, test = replace(first, part="train"), replace(first, part="test")
    assert len(beside(train, test, "trusted")) == N
    with pytest.raises(DataError, match="itself"):
        beside(train, train, "trusted")
