"""Parquet and Arrow: what is read, and how each bad file is refused."""

import json
import os
import struct

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import torch

from domains.formats.made import (
    LABELS,
    TEXTS,
    encoded,
    image_table,
    make_arrow,
    make_parquet,
    metadata,
    pixels,
    text_table,
)  # fmt: skip
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import Limits, read
from mithridate.domains.image.domain import ImageDomain


@pytest.fixture(params=["parquet", "arrow", "stream"])
def save(request, tmp_path):
    """Save a table in one of the three formats."""

    def save(table, name="data"):
        if request.param == "parquet":
            return make_parquet(tmp_path / f"{name}.parquet", table)
        return make_arrow(tmp_path / f"{name}.arrow", table, request.param == "stream")

    return save


def refuses(path, *words, kind=DataError, **options):
    with pytest.raises(kind) as caught:
        read(path, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_images_and_their_class_names_are_read(save):
    path = save(image_table())
    source = read(path)
    assert source.data.classes == ("no", "yes")
    assert source.data.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert source.names[3] == f"{path.name} row 3"
    for i, image in enumerate(source.data.inputs):
        assert np.array_equal(image.permute(1, 2, 0), pixels(i))
    assert isinstance(source.domain, ImageDomain)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_images_as_plain_bytes_are_read(save, kind):
    cells = pa.array([encoded(pixels(i)) for i in range(4)], kind)
    source = read(save(pa.table({"img": cells, "label": [0, 1, 0, 1]})))
    assert torch.equal(source.data.inputs[2], torch.from_numpy(pixels(2)).permute(2, 0, 1))
    assert source.data.classes == ("0", "1")


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_texts_are_read(save, kind):
    table = text_table().set_column(0, "text", pa.array(TEXTS, kind))
    source = read(save(table))
    assert source.data.inputs.tolist() == TEXTS and source.data.labels.tolist() == LABELS
    assert source.data.inputs.dtype == object and source.domain.name == "text"


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int8(), pa.string())])
def test_labels_may_be_names(save, kind):
    names = pa.array(["pos", "neg", "pos", "neg", "neg", "pos"], kind)
    source = read(save(text_table().set_column(1, "label", names)))
    assert source.data.classes == ("neg", "pos") and source.data.labels.tolist() == [
        1,
        0,
        1,
        0,
        0,
        1,
    ]


def test_feather_is_read_compressed_or_not(tmp_path):
    for compression in ("lz4", "zstd", "uncompressed"):
        path = tmp_path / f"{compression}.feather"
        feather.write_feather(image_table(), str(path), compression=compression)
        assert len(read(path).data) == 6


def test_a_folder_of_shards_is_one_set_in_the_order_of_names(tmp_path):
    for part in range(3):
        table = image_table().slice(2 * part, 2)
        make_parquet(tmp_path / "data" / f"train-0000{part}-of-00003.parquet", table)
    (tmp_path / "README.md").write_text("about")
    source = read(tmp_path)
    assert source.names[2:4] == (
        "data/train-00001-of-00003.parquet row 0", "data/train-00001-of-00003.parquet row 1"
    )  # fmt: skip
    whole = read(make_parquet(tmp_path / "whole.parquet"))
    assert torch.equal(source.data.inputs, whole.data.inputs)


@pytest.mark.parametrize("folder", ["data", "plain_text", "data/train", "default"])
def test_a_repository_of_the_hub_is_read(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    make_parquet(tmp_path / folder / "train-00000-of-00001.parquet")
    for name in ("README.md", ".gitattributes", "dataset_infos.json"):
        (tmp_path / name).write_text("about")
    source = read(tmp_path)
    assert len(source.data) == 6
    assert {"README.md", ".gitattributes", "dataset_infos.json"} <= set(source.skipped)


def test_shards_with_other_columns_are_refused(tmp_path):
    make_parquet(tmp_path / "a.parquet")
    make_parquet(tmp_path / "b.parquet", image_table().drop_columns(["track"]))
    refuses(tmp_path, "'b.parquet'", "'a.parquet'", "'track'")


def test_splits_are_told_apart(tmp_path):
    make_parquet(tmp_path / "train.parquet")
    make_parquet(tmp_path / "test.parquet", image_table(4))
    source = read(tmp_path)
    assert len(source.data) == 6 and source.notes == ("Split 'train' was read, of test, train.",)
    assert len(read(tmp_path, split="test").data) == 4
    (tmp_path / "train.parquet").unlink()
    assert len(read(tmp_path).data) == 4  # the only one
    refuses(tmp_path, "split 'train'", "test", split="train")


def test_files_that_name_no_split_beside_splits_are_refused(tmp_path):
    make_parquet(tmp_path / "train.parquet")
    make_parquet(tmp_path / "more.parquet")
    refuses(tmp_path, "'train.parquet'", "'more.parquet'", "path of one file")


def test_files_of_two_formats_are_refused(tmp_path):
    make_parquet(tmp_path / "a.parquet")
    make_arrow(tmp_path / "b.arrow")
    refuses(tmp_path, "one format", "arrow, parquet")


def test_a_folder_beside_data_files_is_refused(tmp_path):
    make_parquet(tmp_path / "a.parquet")
    (tmp_path / "pictures").mkdir()
    refuses(tmp_path, "'pictures'", "only parquet files")


def test_a_linked_shard_out_of_the_folder_is_refused(tmp_path):
    path = make_parquet(tmp_path / "blobs/a.parquet")
    (tmp_path / "data").mkdir()
    link = tmp_path / "data/a.parquet"
    link.symlink_to(path)
    refuses(tmp_path / "data", "a.parquet", "out of the folder", kind=UnsafeData)
    assert len(read(link).data) == 6  # a path that was given is meant


def test_a_broken_file_is_refused(save):
    path = save(image_table())
    data = bytearray(path.read_bytes())
    data[len(data) // 4 : len(data) // 4 + 200] = os.urandom(200)
    path.write_bytes(bytes(data))
    refuses(path, path.name, "expected", "found")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.2, 0.9])
def test_a_truncated_file_is_refused(save, share):
    path = save(image_table())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refuses(path, path.name, "expected", "found")


def test_a_stream_without_its_end_mark_is_noted(tmp_path):
    path = make_arrow(tmp_path / "a.arrow", stream=True)
    path.write_bytes(path.read_bytes()[:-8])
    source = read(path)
    assert len(source.data) == 6 and any("cut short" in note for note in source.notes)


def test_a_bad_image_is_named_by_its_row(save):
    cells = [{"bytes": encoded(pixels(i)), "path": None} for i in range(5)]
    cells[3]["bytes"] = cells[3]["bytes"][:70]
    path = save(pa.table({"image": cells, "label": [0, 1, 0, 1, 0]}))
    refuses(path, f"{path.name} row 3", "broken or truncated")
    source = read(path, keep_going=True)
    assert [each.name for each in source.rejected] == [f"{path.name} row 3"]
    assert source.data.labels.tolist() == [0, 1, 0, 0]
    assert source.names[3] == f"{path.name} row 4"
    assert torch.equal(source.data.inputs[3], torch.from_numpy(pixels(4)).permute(2, 0, 1))


@pytest.mark.parametrize("cell", [None, {"bytes": None, "path": "elsewhere.png"}])
def test_an_image_that_is_not_in_the_file_is_refused(save, cell):
    good = {"bytes": encoded(pixels(0)), "path": "here.png"}
    path = save(pa.table({"image": [good, cell, good], "label": [0, 1, 1]}))
    refuses(path, "row 1", "bytes of an image", "none", "embed")
    assert len(read(path, keep_going=True).data) == 2


def test_mixed_sizes_are_refused(save):
    cells = [encoded(pixels(0)), encoded(pixels(0, (9, 9, 3)))]
    path = save(pa.table({"image": pa.array(cells, pa.binary()), "label": [0, 1]}))
    refuses(path, "row 1", "5x6", "9x9", "size=32")
    assert read(path, size=7).data.inputs.shape == (2, 3, 7, 7)


BAD_LABELS = {
    "missing": ([0, 1, None, 1], pa.int64(), ("expected a label", "none")),
    "missing name": (["a", "b", None, "b"], pa.string(), ("expected a label", "none")),
    "empty name": (["a", "b", "", "b"], pa.string(), ("expected a label", "none")),
    "nan": ([0.0, 1.0, float("nan"), 1.0], pa.float64(), ("expected a label", "none")),
    "infinite": ([0.0, 1.0, float("inf"), 1.0], pa.float64(), ("whole number", "inf")),
    "fraction": ([0.0, 1.0, 0.5, 1.0], pa.float64(), ("whole number", "0.5")),
    "negative": ([0, 1, -1, 1], pa.int64(), ("0 or more", "-1", "hidden")),
    "huge": ([0, 1, 2**62, 1], pa.int64(), ("below 100000", "too large")),
    "no number": (["0", "1", "x", "1"], pa.string(), ("whole number", "'x'")),
    "digits and fraction": (["0", "1", "0.5", "1"], pa.string(), ("whole number", "'0.5'")),
}


@pytest.mark.parametrize("case", BAD_LABELS)
def test_a_bad_label_is_named_by_its_row(save, case):
    labels, kind, words = BAD_LABELS[case]
    path = save(pa.table({"text": TEXTS[:4], "label": pa.array(labels, kind)}))
    refuses(path, f"{path.name} row 2", *words)
    source = read(path, keep_going=True)
    assert len(source.rejected) == 1 and source.data.labels.tolist() == [0, 1, 1]


def test_labels_that_are_all_fractions_are_refused(save):
    table = text_table().set_column(1, "label", pa.array([0.5] * 6))
    refuses(save(table), "row 0", "whole number", "0.5")


def test_labels_beyond_the_class_names_are_refused(save):
    names = {"_type": "ClassLabel", "names": ["a", "b"]}
    table = pa.table({"text": TEXTS[:3], "label": [0, 1, 2]})
    path = save(table.replace_schema_metadata(metadata({"label": names})))
    refuses(path, "row 2", "below 2", "class names do not reach")


def test_labels_that_are_numbers_from_one_are_their_own_names(save):
    source = read(save(text_table().set_column(1, "label", pa.array([1, 2, 4, 1, 2, 4]))))
    assert source.data.classes == ("1", "2", "4") and source.data.labels.tolist() == [0, 1, 2] * 2


def test_labels_from_zero_with_a_gap_are_indices(save):
    source = read(save(text_table().set_column(1, "label", pa.array([0, 1, 3, 0, 1, 3]))))
    assert source.data.classes == ("0", "1", "2", "3") and source.data.labels.max() == 3


def test_one_class_only_is_refused(save):
    table = text_table().set_column(1, "label", pa.array([1] * 6))
    refuses(save(table), "two classes", "only class '1'", "label column")


def test_no_rows_are_refused(save):
    refuses(save(text_table().slice(0, 0)), "two classes", "no example")


def test_a_missing_label_column_is_refused(save):
    refuses(save(text_table().drop_columns(["label"])), "label column", "'text', 'id'", "label=")


def test_an_unknown_column_is_refused_with_the_nearest_name(save):
    path = save(text_table())
    refuses(path, "'lable'", "'label'", "did you mean", label="lable")
    refuses(path, "'txt'", "did you mean 'text'", content="txt")


def test_columns_can_be_chosen(save):
    table = pa.table({"a": TEXTS, "b": LABELS, "text": ["x"] * 6, "label": ["u", "v"] * 3})
    source = read(save(table), content="a", label="b")
    assert source.data.inputs.tolist() == TEXTS and source.data.labels.tolist() == LABELS


def test_two_columns_that_could_be_labels_are_noted(save):
    table = text_table().append_column("target", pa.array(LABELS))
    assert any("'target'" in note for note in read(save(table)).notes)


def test_two_declared_label_columns_are_refused(save):
    names = {"_type": "ClassLabel", "names": ["a", "b"]}
    table = pa.table({"text": TEXTS, "fine_label": LABELS, "coarse_label": LABELS})
    table = table.replace_schema_metadata(metadata({"fine_label": names, "coarse_label": names}))
    path = save(table)
    refuses(path, "'fine_label', 'coarse_label'", "label=")
    assert read(path, label="coarse_label").data.classes == ("a", "b")


def test_columns_of_the_same_name_are_refused(tmp_path):
    table = pa.Table.from_arrays([pa.array(TEXTS), pa.array(LABELS), pa.array(LABELS)],
                                 names=["text", "label", "label"])  # fmt: skip
    refuses(make_arrow(tmp_path / "a.arrow", table), "'label'", "more than once", "rename")
    refuses(make_parquet(tmp_path / "a.parquet", table), "'label'", "more than once", "rename")


def test_a_table_of_numbers_is_read_and_one_of_nothing_is_refused(save):
    read_so = read(save(pa.table({"x": [0.5, 1.0], "label": [0, 1]}))).data.inputs
    assert read_so["x"].tolist() == [0.5, 1.0]
    refuses(save(pa.table({"x": [[1], [2]], "label": [0, 1]})), "images (bytes)", "x: list")


def test_images_win_over_texts_unless_texts_are_asked_for(save):
    path = save(image_table().append_column("text", pa.array(TEXTS)))
    assert read(path).data.inputs.shape == (6, 3, 6, 5)
    assert read(path, domain="text").data.inputs.tolist() == TEXTS
    refuses(path, "read as image", domain="text", content="image")


@pytest.mark.parametrize("text", ["", "  \n", None])
def test_an_empty_text_is_refused(save, text):
    path = save(pa.table({"text": ["a", text, "b"], "label": [0, 0, 1]}))
    refuses(path, "row 1", "expected a text", "found")
    assert read(path, keep_going=True).data.inputs.tolist() == ["a", "b"]


def test_a_text_that_is_too_long_is_refused(save):
    path = save(pa.table({"text": ["a", "b" * 101], "label": [0, 1]}))
    refuses(path, "row 1", "at most 100", "101", kind=UnsafeData, limits=Limits(text=100))


def test_a_text_in_a_bad_encoding_is_refused(save):
    words = pa.array([b"good", b"caf\xe9", b"fine"], pa.binary()).view(pa.string())
    path = save(pa.table({"text": words, "label": [0, 1, 1]}))
    refuses(path, "row 1", "UTF-8", "0xe9")
    assert read(path, keep_going=True).data.inputs.tolist() == ["good", "fine"]


def test_too_many_rows_are_refused(save):
    refuses(save(text_table()), "at most 5", limits=Limits(rows=5))


def test_declared_sizes_are_bounded(save):
    refuses(save(text_table()), "at most 50 bytes", kind=UnsafeData, limits=Limits(total=50))


def test_broken_metadata_are_noted_and_not_used(save):
    for text in (b"{", b"[]", b'{"info": 3}', b'{"info": {"features": [1]}}'):
        table = text_table().replace_schema_metadata({b"huggingface": text})
        source = read(save(table))
        assert source.data.classes == ("0", "1") and any("broken" in n for n in source.notes)


@pytest.mark.parametrize("names", [None, [], [1, 2], "ab", {"0": "a"}])
def test_class_names_of_a_wrong_kind_are_not_used(save, names):
    table = text_table().replace_schema_metadata(metadata({"label": {"names": names}}))
    assert read(save(table)).data.classes == ("0", "1")


# Twenty thousand rows of one text of 100 kB, in a file of a few kB, are 2 GB when written out
ROWS, REPEATED = 20_000, "x" * 100_000


@pytest.mark.parametrize("make", [make_parquet, make_arrow])
def test_a_file_of_repeated_values_cannot_grow(tmp_path, make):
    texts = pa.DictionaryArray.from_arrays(pa.array(np.zeros(ROWS, np.int32)), [REPEATED])
    path = tmp_path / ("a.parquet" if make is make_parquet else "a.arrow")
    make(path, pa.table({"text": texts, "label": np.arange(ROWS) % 2}))
    assert path.stat().st_size < 400_000
    refuses(
        path, path.name, "at most 50000000 bytes", kind=UnsafeData, limits=Limits(total=5 * 10**7)
    )


@pytest.mark.parametrize("column", ["text", "image"])
def test_values_that_parquet_repeats_by_itself_cannot_grow(tmp_path, column):
    cell = REPEATED if column == "text" else {"bytes": REPEATED.encode(), "path": None}
    path = make_parquet(
        tmp_path / "a.parquet", pa.table({column: [cell] * 900, "label": [0, 1] * 450})
    )
    assert path.stat().st_size < 100_000
    refuses(path, "at most 50000000 bytes", kind=UnsafeData, limits=Limits(total=5 * 10**7))


def test_a_compressed_arrow_file_is_weighed_before_it_is_unpacked(tmp_path, monkeypatch):
    path = tmp_path / "a.feather"
    table = pa.table({"text": ["x" * 50_000] * 200, "label": [0, 1] * 100})
    feather.write_feather(table, str(path), compression="zstd")
    assert path.stat().st_size < 100_000

    def unpacked(*_, **__):
        raise AssertionError("the file was unpacked")

    monkeypatch.setattr(pa.ipc, "open_stream", unpacked)
    refuses(
        path, "at most 5000000 bytes", "declare", kind=UnsafeData, limits=Limits(total=5_000_000)
    )


def test_a_column_of_nothing_cannot_declare_endless_rows(tmp_path):
    path = make_arrow(
        tmp_path / "a.arrow", pa.table({"text": pa.nulls(10**7), "label": pa.nulls(10**7)})
    )
    assert path.stat().st_size < 10_000
    refuses(path, "at most 5000000 examples")


def test_offsets_that_point_elsewhere_are_found(tmp_path):
    offsets = pa.py_buffer(struct.pack("<iii", 0, 2_000_000_000, 1))
    texts = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"ab"))
    path = tmp_path / "a.arrow"
    batch = pa.RecordBatch.from_arrays([texts, pa.array([0, 1])], ["text", "label"])
    with path.open("wb") as file, pa.ipc.new_file(file, batch.schema) as out:
        out.write_batch(batch)
    refuses(path, "a.arrow", "broken")


def test_batches_and_row_groups_are_joined(tmp_path):
    n = 2500
    texts, labels = [f"text {i % 7} {i}" for i in range(n)], [i % 3 for i in range(n)]
    table = pa.table({"text": texts, "label": labels})
    path = make_parquet(tmp_path / "a.parquet", table, row_group_size=1100,
                        dictionary_pagesize_limit=2000)  # fmt: skip
    source = read(path)
    assert source.data.inputs.tolist() == texts and source.data.labels.tolist() == labels


@pytest.mark.parametrize("name", ["cifar10", "mnist", "gtsrb", "sst2", "ag-news"])
def test_real_data_are_read(data_folder, real, name):
    path = data_folder / name / "test.parquet"
    features = json.loads(pq.read_schema(path).metadata[b"huggingface"])["info"]["features"]
    source = real(name)
    assert len(source.data) == pq.read_metadata(path).num_rows
    assert list(source.data.classes) == features["label"]["names"]
    assert source.rejected == () and source.skipped == ()
