"""Pictures beside a table that names and labels them; names of files are never read as texts."""

import json

import numpy as np
import pyarrow as pa
import pytest
import torch

from domains.formats.made import (
    encoded,
    make_arrow,
    make_delimited,
    make_folder,
    make_jsonl,
    make_npz,
    make_parquet,
    make_zip,
    pixels,
)
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import read, write
from mithridate.domains.formats.arriving import inputs_like

STEMS = ("ada", "bob", "cyd", "dan")
LABELS = (0, 1, 1, 0)


def pictures(folder, before="", end=".png", stems=STEMS, first=0):
    files = {f"{before}{stem}{end}": encoded(pixels(first + i)) for i, stem in enumerate(stems)}
    return make_folder(folder, files)


def table(path, header="file_name,label", end=".png", before="", rows=None):
    rows = rows or [
        f"{before}{stem}{end},{label}" for stem, label in zip(STEMS, LABELS, strict=True)
    ]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def is_read(source, classes=("0", "1")):
    assert source.data.classes == classes
    assert source.data.labels.tolist() == list(LABELS)
    expected = np.stack([pixels(i) for i in range(4)])
    assert np.array_equal(source.data.inputs.permute(0, 2, 3, 1), expected)
    assert source.domain.name == "image"
    return source


def refuses(path, *words, kind=DataError, **options):
    with pytest.raises(kind) as caught:
        read(path, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_pictures_beside_metadata_csv_are_read(tmp_path):
    # cases/metadata_csv.py: the folder was refused, and the file's names were judged as sentences
    path = table(pictures(tmp_path) / "metadata.csv")
    source = is_read(read(tmp_path))
    assert source.format == "picture table" and source.names[0] == "ada.png"
    assert "Column 'file_name' names the pictures; their classes come from column 'label'." in (
        source.notes
    )
    is_read(read(path))
    assert source.own_ids.column == "file_name" and source.own_ids.values[2] == "cyd.png"


def test_metadata_in_json_lines_and_parquet_are_read(tmp_path):
    rows = [{"file_name": f"{s}.png", "label": n} for s, n in zip(STEMS, LABELS, strict=True)]
    is_read(read(make_jsonl(pictures(tmp_path / "a") / "metadata.jsonl", rows)))
    is_read(read(tmp_path / "a"))
    make_parquet(pictures(tmp_path / "b") / "metadata.parquet", pa.Table.from_pylist(rows))
    is_read(read(tmp_path / "b"))


def test_any_column_may_end_in_file_name(tmp_path):
    table(pictures(tmp_path) / "metadata.csv", header="picture_file_name,label")
    is_read(read(tmp_path))


def test_labels_come_from_the_folders_where_the_table_has_none(tmp_path):
    files = {f"{'no' if n == 0 else 'yes'}/{s}.png": encoded(pixels(i))
             for i, (s, n) in enumerate(zip(STEMS, LABELS, strict=True))}  # fmt: skip
    make_folder(tmp_path, files)
    rows = [f"{name},a picture of {number}" for number, name in enumerate(files)]
    table(tmp_path / "metadata.csv", header="file_name,caption", rows=rows)
    source = is_read(read(tmp_path), ("no", "yes"))
    assert any("the folders of the pictures" in note for note in source.notes)


def test_a_table_in_each_split_folder_is_read(tmp_path):
    table(pictures(tmp_path / "train") / "metadata.csv")
    table(pictures(tmp_path / "test", stems=STEMS[:2]) / "metadata.csv",
          rows=["ada.png,0", "bob.png,1"])  # fmt: skip
    source = is_read(read(tmp_path))
    assert source.names[0] == "train/ada.png"
    assert len(read(tmp_path, split="test").data) == 2


def test_one_table_over_folders_of_splits_is_read(tmp_path):
    pictures(tmp_path, before="train/")
    pictures(tmp_path, before="test/", first=4)
    rows = [f"{part}/{s}.png,{n}" for part in ("train", "test")
            for s, n in zip(STEMS, LABELS, strict=True)]  # fmt: skip
    table(tmp_path / "metadata.csv", rows=rows)
    is_read(read(tmp_path))
    assert len(read(tmp_path, split="test").data) == 4
    refuses(tmp_path, "test, train", "split=", split="val")


def test_a_column_may_tell_the_split(tmp_path):
    pictures(tmp_path)
    rows = [f"{s}.png,{n},{'train' if i < 2 else 'test'}"
            for i, (s, n) in enumerate(zip(STEMS, LABELS, strict=True))]  # fmt: skip
    table(tmp_path / "birds.csv", header="filepaths,labels,data set", rows=rows)
    assert read(tmp_path).names == ("ada.png", "bob.png")


@pytest.mark.parametrize(
    ("header", "end"),
    [("filename,label", ".png"), ("id_code,diagnosis", ""), ("image_id,class", ""),
     ("image,target", ".png"), ("id,label", ""), ("path,category", ".png")],
)  # fmt: skip
@pytest.mark.parametrize("before", ["", "images/", "train_images/", "data/train/"])
def test_tables_of_contests_are_read(tmp_path, header, end, before):
    pictures(tmp_path, before=before)
    path = table(tmp_path / "train.csv", header=header, end=end)
    is_read(read(tmp_path))
    is_read(read(path))


def test_numbers_may_name_pictures(tmp_path):
    pictures(tmp_path, before="train/", stems=("1", "2", "3", "4"))
    rows = [f"{i + 1},{name}" for i, name in enumerate(("frog", "truck", "truck", "frog"))]
    is_read(read(table(tmp_path / "trainLabels.csv", header="id,label", rows=rows)),
            ("frog", "truck"))  # fmt: skip


def test_paths_of_another_machine_are_found_by_their_ends(tmp_path):
    pictures(tmp_path, before="images/")
    path = table(tmp_path / "train.csv", before="/kaggle/input/thing/images/")
    is_read(read(path))
    is_read(read(table(path, before="C:\\data\\images\\")))


def test_of_several_folders_with_the_same_names_that_of_the_table_is_meant(tmp_path):
    pictures(tmp_path, before="test_images/", first=10)
    pictures(tmp_path, before="train_images/")
    is_read(read(table(tmp_path / "train.csv")))


def test_a_name_of_two_pictures_is_refused(tmp_path):
    for number, folder in enumerate(("left/", "right/")):
        pictures(tmp_path, before=folder, first=10 * number)
    refuses(table(tmp_path / "list.csv"), "ada.png", "left/ada.png", "right/ada.png",
            "write the folder")  # fmt: skip


def test_the_other_tables_of_a_contest_are_said_and_not_read(tmp_path):
    pictures(tmp_path, before="train/")
    pictures(tmp_path, before="test/", stems=("eve", "fay"), first=7)
    table(tmp_path / "train.csv", end="")
    table(tmp_path / "test.csv", header="file_name", rows=["eve", "fay"])
    table(tmp_path / "sample_submission.csv", rows=["eve,0", "fay,0"])
    source = is_read(read(tmp_path))
    assert "Tables that were not read: 'sample_submission.csv', 'test.csv'." in source.notes
    assert "2 pictures beside the table are not among those it names." in source.notes


def test_columns_of_zeros_and_ones_are_classes(tmp_path):
    pictures(tmp_path, before="images/")
    rows = [f"{s},{1 - n},{n}" for s, n in zip(STEMS, LABELS, strict=True)]
    table(tmp_path / "train.csv", header="image_id,healthy,rust", rows=rows)
    is_read(read(tmp_path), ("healthy", "rust"))


def test_a_picture_that_is_missing_is_refused_or_listed(tmp_path):
    pictures(tmp_path)
    path = table(tmp_path / "metadata.csv")
    path.write_text(path.read_text() + "zed.png,1\n")
    refuses(tmp_path, "zed.png", "beside the table", "found none", "keep_going")
    source = is_read(read(tmp_path, keep_going=True))
    assert [each.name for each in source.rejected] == ["zed.png"]


@pytest.mark.parametrize("name", ["../secret.png", "/etc/secret.png", "..\\secret.png"])
def test_a_name_never_leads_out_of_the_folder(tmp_path, name):
    (tmp_path / "secret.png").write_bytes(encoded(pixels(9)))
    folder = pictures(tmp_path / "in")
    path = table(folder / "metadata.csv")
    path.write_text(path.read_text() + f"{name},1\n")
    refuses(folder, "secret.png", "found none")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "secret.png").write_bytes(encoded(pixels(9)))
    folder = pictures(tmp_path / "in")
    (folder / "dan.png").unlink()
    (folder / "dan.png").symlink_to("../secret.png")
    table(folder / "metadata.csv")
    refuses(folder, "dan.png", "out of the folder", kind=UnsafeData)
    refuses(folder / "metadata.csv", "dan.png", "out of the folder", kind=UnsafeData)


def test_a_table_in_an_archive_names_pictures_in_it(tmp_path):
    pictures(tmp_path / "in", before="images/")
    table(tmp_path / "in/train.csv", end="")
    files = {f"set/{p.relative_to(tmp_path / 'in')}": p.read_bytes()
             for p in (tmp_path / "in").rglob("*") if p.is_file()}  # fmt: skip
    is_read(read(make_zip(tmp_path / "a.zip", files)))


def test_semicolons_and_further_columns_are_kept_in_a_copy(tmp_path):
    pictures(tmp_path / "in")
    rows = [f"{s}.png;{n};of {s}" for s, n in zip(STEMS, LABELS, strict=True)]
    table(tmp_path / "in/metadata.csv", header="file_name;label;caption", rows=rows)
    source = is_read(read(tmp_path / "in"))
    write(source.data, source.names, source, tmp_path / "out")
    is_read(read(tmp_path / "out"))
    assert "of cyd" in (tmp_path / "out/metadata.csv").read_text()


@pytest.mark.parametrize("kind", ["folders", "one-hot", "jsonl"])
def test_copies_keep_classes_wherever_they_came_from(tmp_path, kind):
    before = {"folders": ("no/", "yes/")}.get(kind, ("", ""))
    for i, (stem, label) in enumerate(zip(STEMS, LABELS, strict=True)):
        make_folder(tmp_path / "in", {f"{before[label]}{stem}.png": encoded(pixels(i))})
    names = [f"{before[n]}{s}.png" for s, n in zip(STEMS, LABELS, strict=True)]
    if kind == "folders":
        table(tmp_path / "in/metadata.csv", header="file_name,caption",
              rows=[f"{name},of {name}" for name in names])  # fmt: skip
    elif kind == "one-hot":
        table(tmp_path / "in/metadata.csv", header="file_name,no,yes",
              rows=[f"{a},{1 - n},{n}" for a, n in zip(names, LABELS, strict=True)])  # fmt: skip
    else:
        make_jsonl(tmp_path / "in/metadata.jsonl",
                   [{"file_name": name, "label": ("no", "yes")[n]}
                    for name, n in zip(names, LABELS, strict=True)])  # fmt: skip
    source = is_read(read(tmp_path / "in"), ("no", "yes"))
    write(source.data, source.names, source, tmp_path / "out")
    is_read(read(tmp_path / "out"), ("no", "yes"))


ROWS = [[f"{s}.jpg", n] for s, n in zip(STEMS, LABELS, strict=True)]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "arrow"])
def test_names_of_pictures_are_never_read_as_texts(tmp_path, kind):
    # the pictures are elsewhere, so that nothing is left but their names
    path = tmp_path / f"train.{kind}"
    if kind in ("csv", "tsv"):
        make_delimited(path, [["filename", "label"], *ROWS])
    elif kind == "jsonl":
        make_jsonl(path, [{"filename": a, "label": b} for a, b in ROWS])
    else:
        made = pa.table({"filename": [a for a, _ in ROWS], "label": [b for _, b in ROWS]})
        (make_parquet if kind == "parquet" else make_arrow)(path, made)
    refuses(path, "expected texts", "names of files", "'ada.jpg'", "beside the table")
    refuses(path, "names of files", content="filename")
    refuses(path, "names of files", domain="text")


def test_names_of_other_files_beside_are_never_read_as_texts(tmp_path):
    for stem in STEMS:
        (tmp_path / f"{stem}.mid").write_bytes(b"x")
    path = table(tmp_path / "train.csv", header="text,label", end=".mid")
    refuses(path, "names of files")


def test_names_without_suffix_are_never_read_as_texts(tmp_path):
    pictures(tmp_path, before="images/")
    path = table(tmp_path / "train.csv", header="text,label", end="")
    refuses(path, "names of files", domain="text")
    is_read(read(path))


def test_texts_beside_pictures_stay_texts(tmp_path):
    pictures(tmp_path)
    rows = [["id", "text", "label"], *[[i, f"a text about {i}", n] for i, n in enumerate(LABELS)]]
    source = read(make_delimited(tmp_path / "a.csv", rows))
    assert source.data.inputs.tolist() == [f"a text about {i}" for i in range(4)]


def test_a_table_of_texts_and_pictures_is_read_as_asked(tmp_path):
    pictures(tmp_path)
    rows = [[f"{s}.png", f"a meme of {s}", n] for s, n in zip(STEMS, LABELS, strict=True)]
    path = make_delimited(tmp_path / "memes.csv", [["img", "text", "label"], *rows])
    is_read(read(path))
    assert read(path, domain="text").data.inputs[0] == "a meme of ada"
    assert read(path, content="text").data.inputs[0] == "a meme of ada"


def test_boxes_in_metadata_are_said_to_be_detection(tmp_path):
    pictures(tmp_path)
    lines = [json.dumps({"file_name": f"{s}.png", "objects": {"bbox": []}}) for s in STEMS]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    refuses(tmp_path, "boxes", "detection sets are not read")


def test_without_labels_only_what_arrives_is_read(tmp_path):
    pictures(tmp_path)
    table(tmp_path / "metadata.csv", header="file_name", rows=[f"{s}.png" for s in STEMS])
    refuses(tmp_path, "a class for each picture", "add a column")
    source = read(tmp_path, unlabelled=True)
    assert len(source.data) == 4 and source.data.classes == ("unlabelled",)


def test_what_arrives_has_the_channels_and_the_size_of_what_the_model_knows():
    grey, colour = torch.zeros(2, 1, 6, 6), torch.zeros(2, 3, 6, 6)
    assert torch.equal(inputs_like(colour, grey, "x"), colour)
    assert inputs_like(grey, grey, "x") is grey
    for known, arriving, said in [
        (grey, colour, "grey images of 6x6 pixels, found RGB"),
        (grey, torch.zeros(2, 1, 8, 7), "found grey images of 7x8 pixels; size=6 resizes"),
        (grey, np.array(["a"], dtype=object), "found texts"),
        (np.array(["a"], dtype=object), grey, "expected inputs like the trusted examples, texts"),
    ]:
        with pytest.raises(DataError, match=said):
            inputs_like(known, arriving, "x")


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "arrow"])
@pytest.mark.parametrize("more", [{}, {"id": [3, 1, 2]}])
def test_texts_need_no_labels_where_they_arrive(tmp_path, kind, more):
    columns = {"text": ["a text", "another text", "a third text"], **more}
    path = tmp_path / f"arrived.{kind}"
    if kind in ("csv", "tsv"):
        make_delimited(path, [list(columns), *zip(*columns.values(), strict=True)])
    elif kind == "jsonl":
        make_jsonl(path, pa.table(columns).to_pylist())
    else:
        (make_parquet if kind == "parquet" else make_arrow)(path, pa.table(columns))
    with pytest.raises(DataError):
        read(path)
    source = read(path, unlabelled=True)
    assert source.data.inputs.tolist() == columns["text"]
    assert source.data.classes == ("unlabelled",)
    assert len(read(path, unlabelled=True, label="sentiment").data) == 3


def test_a_flat_folder_and_a_single_class_are_read_without_labels(tmp_path):
    # cases/arriving.py: all pictures that a trigger leads to one class, and pictures alone
    pictures(tmp_path / "flat")
    pictures(tmp_path / "one", before="cat/")
    refuses(tmp_path / "flat", "without class folders")
    refuses(tmp_path / "one", "at least two classes")
    flat, one = (read(tmp_path / name, unlabelled=True) for name in ("flat", "one"))
    assert flat.data.classes == ("unlabelled",) and one.data.classes == ("cat",)
    assert torch.equal(flat.data.inputs, one.data.inputs)
    alone = read(make_npz(tmp_path / "a.npz", images=pixels(0, (3, 6, 5))), unlabelled=True)
    assert alone.data.inputs.shape == (3, 1, 6, 5) and alone.data.classes == ("unlabelled",)
    with pytest.raises(DataError, match="found no example"):
        read(make_folder(tmp_path / "bad", {"a.png": b""}), unlabelled=True, keep_going=True)
