"""What is written back is what was read."""

import csv
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from domains.formats.made import (
    LABELS,
    image_table,
    make_arrow,
    make_delimited,
    make_jsonl,
    make_npz,
    make_parquet,
    make_tree,
    pixels,
    text_table,
)  # fmt: skip
from mithridate.core.errors import DataError
from mithridate.domains.formats import read, write


def same(one, two):
    """Whether two data sets hold the same inputs and labels of the same classes."""
    equal = torch.equal if isinstance(one.inputs, torch.Tensor) else np.array_equal
    return one.classes == two.classes and equal(one.inputs, two.inputs) and torch.equal(
        one.labels, two.labels)  # fmt: skip


MAKERS = {
    "tree": lambda f: make_tree(f / "tree"),
    "parquet": lambda f: make_parquet(f / "a.parquet"),
    "parquet text": lambda f: make_parquet(f / "a.parquet", text_table()),
    "parquet bytes": lambda f: make_parquet(f / "a.parquet", pa.table({
        "x": image_table()["image"].combine_chunks().field("bytes"), "y": LABELS})),
    "arrow": lambda f: make_arrow(f / "a.arrow"),
    "stream": lambda f: make_arrow(f / "a.arrow", stream=True),
    "arrow text": lambda f: make_arrow(f / "a.arrow", text_table()),
    "npz": lambda f: make_npz(f / "a.npz"),
    "npz grey": lambda f: make_npz(f / "a.npz", x=pixels(0, (6, 5, 4)), y=LABELS),
    "npz first": lambda f: make_npz(f / "a.npz", x=pixels(0, (6, 3, 5, 4)), y=[3, 7, 3, 7, 3, 9],
                                    track=LABELS),
    "npz names": lambda f: make_npz(f / "a.npz", x=pixels(0, (6, 5, 4)), y=LABELS,
                                    classes=["no", "yes"]),
    "csv": lambda f: make_delimited(f / "a.csv"),
    "tsv": lambda f: make_delimited(f / "a.tsv"),
    "jsonl": lambda f: make_jsonl(f / "a.jsonl"),
}  # fmt: skip


@pytest.fixture(params=MAKERS)
def source(request, tmp_path):
    (tmp_path / "in").mkdir()
    return read(MAKERS[request.param](tmp_path / "in"))


def test_what_is_written_is_read_again(source, tmp_path):
    names = write(source.data, source.names, source, tmp_path / "out")
    again = read(tmp_path / "out")
    assert same(again.data, source.data)
    assert again.names == names and again.format == source.format
    assert again.layout.columns == source.layout.columns
    if source.format == "npz" and source.layout.rest:
        assert again.layout.rest["track"].tolist() == source.layout.rest["track"].tolist()


def test_changed_rows_of_a_part_in_another_order_are_read_again(source, tmp_path):
    part = source.data.subset([4, 0, 3] if len(source.data) > 4 else [3, 0, 2])
    part = replace(part, labels=torch.tensor([1, 0, 0]))
    if isinstance(part.inputs, torch.Tensor):
        part = part.with_inputs(255 - part.inputs)
    else:
        part = part.with_inputs(np.array([f"cf {text}" for text in part.inputs], dtype=object))
    names = write(part, [source.names[i] for i in part.ids.tolist()], source, tmp_path / "out")
    again = read(tmp_path / "out")
    order = [again.names.index(name) for name in names]
    found = again.data.subset(order)
    equal = torch.equal if isinstance(part.inputs, torch.Tensor) else np.array_equal
    assert equal(found.inputs, part.inputs)
    assert [again.data.classes[i] for i in found.labels] == [part.classes[i] for i in part.labels]
    if source.format == "npz" and source.layout.rest:
        assert again.layout.rest["track"][order].tolist() == [LABELS[i] for i in part.ids]


def test_parquet_keeps_columns_types_and_metadata(tmp_path):
    table = image_table().append_column("note", pa.array(list("abcdef"), pa.large_string()))
    table = table.append_column("kind", pa.array(list("uvuvuv")).dictionary_encode())
    table = table.select(["note", "label", "kind", "image", "track"]).cast(
        pa.schema([f.with_type(pa.int8()) if f.name == "label" else f
                   for f in table.select(["note", "label", "kind", "image", "track"]).schema],
                  metadata=table.schema.metadata))  # fmt: skip
    path = make_parquet(tmp_path / "train.parquet", table)
    source = read(path)
    write(source.data, source.names, source, tmp_path / "out")
    written = pq.read_table(tmp_path / "out/train.parquet")
    assert written.schema.equals(pq.read_schema(path), check_metadata=True)
    for name in ("note", "kind", "track", "label"):
        assert written[name].to_pylist() == table[name].to_pylist()
    paths = [cell["path"] for cell in written["image"].to_pylist()]
    assert paths == [f"{i}.png" for i in range(6)]


def test_categories_of_labels_are_kept(tmp_path):
    labels = pa.array(["no", "yes"] * 3, pa.dictionary(pa.int8(), pa.string()))
    path = tmp_path / "a.feather"
    feather.write_feather(text_table().set_column(1, "label", labels), str(path))
    source = read(path)
    write(source.data, source.names, source, tmp_path / "out")
    again = feather.read_table(str(tmp_path / "out/a.feather"))
    assert again["label"].type == labels.type and again["label"].to_pylist() == labels.to_pylist()


def test_rejected_rows_do_not_shift_the_other_columns(tmp_path):
    table = pa.table({"text": ["a", "", "c", "d"], "label": [0, 1, 1, 0], "id": list("wxyz")})
    for path in (
        make_parquet(tmp_path / "a.parquet", table),
        make_arrow(tmp_path / "a.arrow", table),
    ):
        source = read(path, keep_going=True)
        write(source.data, source.names, source, tmp_path / path.suffix)
        again = read(tmp_path / path.suffix)
        assert again.data.inputs.tolist() == ["a", "c", "d"]
        assert again.layout.rest[1]["id"].to_pylist() == ["w", "y", "z"]


def test_a_name_that_reading_passes_over_is_not_written(tmp_path):
    source = read(make_delimited(tmp_path / ".reviews.csv"))
    write(source.data, source.names, source, tmp_path / "out")
    assert read(tmp_path / "out").names[0] == "data.csv row 0"


def test_csv_keeps_the_other_cells(tmp_path):
    rows = [["b", "text", "a", "label"], ["1", "x", "é", "0"], ["2", "y", "a,b\nc", "1"]]
    source = read(make_delimited(tmp_path / "a.csv", rows))
    write(source.data, source.names, source, tmp_path / "out")
    with (tmp_path / "out/a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == rows


def test_jsonl_keeps_the_other_keys(tmp_path):
    rows = [
        {"label": 1, "x": {"deep": [1, None]}, "text": "a"},
        {"text": "b", "label": 0, "y": 2.5},
    ]
    source = read(make_jsonl(tmp_path / "a.jsonl", rows))
    write(source.data, source.names, source, tmp_path / "out")
    lines = (tmp_path / "out/a.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows


def test_tsv_without_quotes_stays_without(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text('text\tlabel\n"a" b\t0\n"c\t1\n')
    source = read(path)
    write(source.data, source.names, source, tmp_path / "out")
    assert (tmp_path / "out/a.tsv").read_bytes() == path.read_bytes()
    torn = source.data.with_inputs(np.array(["a\tb", "c"], dtype=object))
    with pytest.raises(DataError, match="no quotes"):
        write(torn, source.names, source, tmp_path / "torn")
    assert not (tmp_path / "torn").exists()


HOSTILE = ["../../evil.png", "/etc/passwd", "..", "", "a/../../b.png", ".hidden", "x\0y", "a" * 400,
           "Thumbs.db", "con\nline.png", "\ud800.png"]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    source = read(make_tree(tmp_path / "in"))
    before = set(tmp_path.rglob("*"))
    write(source.data, [name] * 4, source, tmp_path / "out")
    made = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(tmp_path / "out") for path in made)
    assert len(read(tmp_path / "out").data) == 4


@pytest.mark.parametrize("name", ["..", "a/b", "", ".git", "x\0", "__MACOSX"])
def test_a_class_that_cannot_name_a_folder_is_refused(tmp_path, name):
    source = read(make_tree(tmp_path / "in"))
    data = replace(source.data, classes=("cat", name))
    with pytest.raises(DataError, match="name a folder"):
        write(data, source.names, replace(source, data=data), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_images_of_one_stem_do_not_overwrite_each_other(tmp_path):
    tree = make_tree(tmp_path / "in")
    (tree / "cat/0.bmp").write_bytes((tree / "cat/1.png").read_bytes())
    source = read(tree)
    names = write(source.data, source.names, source, tmp_path / "out")
    assert names == ("cat/0.png", "cat/0-2.png", "cat/1.png", "dog/0.png", "dog/1.png")


def test_nothing_is_overwritten(tmp_path):
    source = read(make_tree(tmp_path / "in"))
    with pytest.raises(DataError, match="new or empty folder"):
        write(source.data, source.names, source, tmp_path / "in")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="new or empty folder"):
        write(source.data, source.names, source, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    write(source.data, source.names, source, tmp_path / "empty")
    assert len(read(tmp_path / "empty").data) == 4


def test_a_folder_appears_complete_or_not_at_all(tmp_path, monkeypatch):
    source = read(make_tree(tmp_path / "in"))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mithridate.domains.formats.tree.encode", fail)
    with pytest.raises(DataError, match="No space left"):
        write(source.data, source.names, source, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_data_that_do_not_fit_the_source_are_refused(tmp_path):
    source = read(make_tree(tmp_path / "in"))
    data, names = source.data, source.names
    texts = read(make_delimited(tmp_path / "a.csv"))
    wrong = [
        (data, names[1:], source), (replace(data, classes=("a", "b")), names, source),
        (replace(data, ids=data.ids + 1), names, source),
        (replace(texts.data, classes=data.classes), texts.names, source),
    ]  # fmt: skip
    for one, predicted, like in wrong:
        with pytest.raises(DataError, match="expected"):
            write(one, predicted, like, tmp_path / "out")
    assert not (tmp_path / "out").exists()


LINES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(str.strip)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(LINES, LINES), min_size=1, max_size=5),
    st.sampled_from(["csv", "jsonl", "tsv"]),
)
def test_any_text_and_any_class_name_survive(pairs, suffix):
    with tempfile.TemporaryDirectory() as folder:
        # words are in the majority, so that labels of digits are names, too, and not numbers
        rows = [("one", "first class"), ("two", "second class")] * 3 + pairs
        path = Path(folder) / f"a.{suffix}"
        if suffix == "jsonl":
            make_jsonl(path, [{"text": t, "label": n} for t, n in rows])
        else:
            make_delimited(path, [["text", "label"], *map(list, rows)])
        source = read(path, keep_going=True)
        write(source.data, source.names, source, Path(folder) / "out")
        again = read(Path(folder) / "out")
        assert again.data.inputs.tolist() == source.data.inputs.tolist()
        kept = [row for row in rows if row[0] in source.data.inputs.tolist()]
        assert {text for text, _ in kept} == set(source.data.inputs)
        assert [again.data.classes[i] for i in again.data.labels] == [
            source.data.classes[i] for i in source.data.labels
        ]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]), st.integers(0, 10**6),
       st.sampled_from(["tree", "parquet", "arrow", "npz"]))  # fmt: skip
def test_any_image_survives(height, width, channels, seed, format):
    with tempfile.TemporaryDirectory() as folder:
        like = read(MAKERS[format](Path(folder)))
        if format == "npz":  # sides of 1 or 3 could be channels
            height, width = height + 3, width + 3
        images = torch.from_numpy(pixels(seed, (4, channels, height, width)))
        data = like.data.subset([0, 1, 2, 3]).with_inputs(images)
        names = write(data, like.names[:4], like, Path(folder) / "out")
        again = read(Path(folder) / "out")
        found = again.data.subset([again.names.index(name) for name in names])
        assert torch.equal(found.inputs, images) and torch.equal(found.labels, data.labels)


@pytest.mark.parametrize("name", ["cifar10", "gtsrb", "sst2"])
def test_real_data_survive(real, tmp_path, name):
    source = real(name)
    part = source.data.subset(range(0, len(source.data), 40))
    names = [source.names[row] for row in part.ids.tolist()]
    write(part, names, source, tmp_path / "out")
    assert same(read(tmp_path / "out").data, part)
