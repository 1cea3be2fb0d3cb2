"""Examples that are drawn while reading: the same as drawn afterwards, and no others decoded."""

import numpy as np
import pytest
import torch

from domains.formats.made import (
    encoded,
    image_table,
    make_arrow,
    make_delimited,
    make_jsonl,
    make_npz,
    make_parquet,
    make_tar,
    make_tree,
    make_zip,
    pixels,
    shard_files,
    tree_files,
)
from mithridate.core.errors import DataError
from mithridate.domains.catalogue import load_named, open_source
from mithridate.domains.formats import picture_blocks, read, write
from mithridate.pipelines.drawing import draw_examples, drawing

IMAGES = np.stack([pixels(i) for i in range(6)])
MIXED = ["b.png", "a.png", "c.png"]


def picture_table(folder):
    folder.mkdir()
    for number, name in enumerate(MIXED):
        (folder / name).write_bytes(encoded(pixels(number)))
    rows = "\n".join(f"{name},{number % 2}" for number, name in enumerate(MIXED))
    (folder / "train.csv").write_text(f"file_name,label\n{rows}\n")
    return folder


FORMATS = {
    "tree": lambda at: make_tree(at / "tree", per_class=3),
    "zip": lambda at: make_zip(at / "t.zip", dict(reversed(tree_files(3).items()))),
    "tar": lambda at: make_tar(at / "t.tar", dict(reversed(tree_files(3).items()))),
    "webdataset": lambda at: make_tar(at / "w.tar", shard_files(6)),
    "picture table": lambda at: picture_table(at / "pictures"),
    "parquet": lambda at: make_parquet(at / "t.parquet", image_table(9)),
    "arrow": lambda at: make_arrow(at / "t.arrow", image_table(9)),
    "npz": lambda at: make_npz(at / "t.npz", images=IMAGES, labels=[0, 1, 0, 1, 1, 0]),
    "csv": lambda at: make_delimited(at / "t.csv"),
    "jsonl": lambda at: make_jsonl(at / "t.jsonl"),
}


@pytest.fixture
def decoded(monkeypatch):
    """Counts the pictures that are decoded."""
    seen, decode = [], picture_blocks.decode
    monkeypatch.setattr(
        picture_blocks, "decode", lambda data, limits: (seen.append(1), decode(data, limits))[1]
    )
    return seen


def assert_same(drawn, whole, count):
    afterwards = draw_examples(whole.data, count, 3, "suspect")
    assert drawn.data.ids.tolist() == afterwards.ids.tolist()
    assert drawn.data.labels.tolist() == afterwards.labels.tolist()
    if isinstance(whole.data.inputs, torch.Tensor):
        assert torch.equal(drawn.data.inputs, afterwards.inputs)
    else:
        assert drawn.data.inputs.tolist() == afterwards.inputs.tolist()
    assert (drawn.names, drawn.data.classes) == (whole.names, whole.data.classes)


@pytest.mark.parametrize("format", FORMATS)
def test_drawn_while_reading_is_drawn_afterwards(tmp_path, decoded, format):
    path = FORMATS[format](tmp_path)
    whole = read(path)
    pictures = len(decoded)
    assert pictures in (0, len(whole.data))
    drawn = read(path, draw=drawing(2, 3, "suspect"))
    assert_same(drawn, whole, 2)
    assert len(decoded) == pictures + (2 if pictures else 0)


@pytest.mark.parametrize("format", ["parquet", "jsonl", "npz", "picture table"])
def test_a_copy_of_drawn_examples_keeps_the_rest_of_their_rows(tmp_path, format):
    path = FORMATS[format](tmp_path)
    whole, drawn = read(path), read(path, draw=drawing(2, 3, "suspect"))
    chosen = draw_examples(whole.data, 2, 3, "suspect")
    names = [whole.names[row] for row in chosen.ids.tolist()]
    write(chosen, names, whole, tmp_path / "after")
    write(drawn.data, names, drawn, tmp_path / "while")
    files = [file.name for file in sorted((tmp_path / "after").iterdir())]
    assert files == [file.name for file in sorted((tmp_path / "while").iterdir())]
    for name in files:
        both = [(tmp_path / each / name).read_bytes() for each in ("after", "while")]
        assert format == "npz" or both[0] == both[1]  # an archive holds the time


def test_where_broken_examples_are_left_out_all_are_looked_at(tmp_path, decoded):
    folder = make_tree(tmp_path / "tree", per_class=4)
    (folder / "cat" / "1.png").write_bytes(b"no picture")
    whole = read(folder, keep_going=True)
    decoded.clear()
    drawn = read(folder, keep_going=True, draw=drawing(3, 3, "suspect"))
    assert_same(drawn, whole, 3)
    assert len(decoded) == 8 and len(drawn.rejected) == 1


def test_few_drawn_pictures_that_show_nothing_are_no_reason_to_refuse_all(tmp_path, decoded):
    folder = make_tree(tmp_path / "tree", per_class=6)
    for number in (0, 1):
        (folder / "cat" / f"{number}.png").write_bytes(encoded(np.zeros((6, 5, 3), np.uint8)))
    whole = read(folder)
    drawn = read(folder, draw=lambda n: np.array([0, 1, 7]))
    assert torch.equal(drawn.data.inputs, whole.data.inputs[[0, 1, 7]])
    assert drawn.notes == whole.notes == ("2 of 12 images come out (nearly) constant, first "
                                          "'cat/0.png'.",)  # fmt: skip


@pytest.mark.parametrize("count", [0, 7])
def test_more_than_there_are_is_refused(tmp_path, count):
    path = make_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match=rf"suspect examples in 1..6, found {count}"):
        read(path, draw=drawing(count, 0, "suspect"))


def test_named_sets_are_drawn_from():
    whole, drawn = load_named("digits"), open_source("digits", draw=drawing(7, 3, "suspect"))
    assert_same(drawn, whole, 7)
