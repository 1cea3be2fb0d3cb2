"""What is recognised and not read: each with its way out."""

import numpy as np
import pytest

from domains.formats.made import encoded, make_folder, make_tar, make_tree, pixels, tree_files
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import read


def refuses(path, *words, kind=DataError):
    with pytest.raises(kind) as caught:
        read(path)
    for word in words:
        assert word in str(caught.value), str(caught.value)


PICTURE = encoded(pixels(0))


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"data.yaml": b"nc: 2", "train/images/a.png": PICTURE, "train/labels/a.txt": b"0"},
         "YOLO"),
        ({"images/a.png": PICTURE, "labels/a.txt": b"0 .5 .5 .1 .1"}, "YOLO"),
        ({"images/train/a.png": PICTURE, "labels/train/a.txt": b"0 .5 .5 .1 .1"}, "YOLO"),
        ({"train/images/a.png": PICTURE, "train/labels/a.txt": b"0", "test/images/a.png": PICTURE,
          "test/labels/a.txt": b"0"}, "YOLO"),
        ({"train2017/a.png": PICTURE, "annotations/instances_train2017.json": b"{}"}, "COCO"),
        ({"train/a.png": PICTURE, "train/_annotations.coco.json": b"{}"}, "COCO"),
        ({"JPEGImages/a.png": PICTURE, "Annotations/a.xml": b"<annotation/>"}, "Pascal VOC"),
        ({"a.png": PICTURE, "a.txt": b"0 .5 .5 .1 .1", "classes.txt": b"cat"}, "YOLO"),
    ],
)  # fmt: skip
def test_detection_sets_are_said_to_be_detection_sets(tmp_path, files, kind):
    refuses(
        make_folder(tmp_path / "data", files), kind, "detection sets", "a folder for each class"
    )
    refuses(make_tar(tmp_path / "a.tar", files), kind, "detection sets")


def test_classes_may_be_called_annotations_or_labels(tmp_path):
    assert len(read(make_tree(tmp_path, classes=("annotations", "labels"))).data) == 4


def test_an_array_alone_says_how_it_is_read_with_its_labels(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 4, 4)))
    np.save(tmp_path / "y.npy", np.zeros(2))
    refuses(tmp_path / "x.npy", "numpy.savez('data.npz', images=images, labels=labels)")
    refuses(tmp_path, "numpy.savez(")


@pytest.mark.parametrize(
    "name", ["data_batch_1", "test_batch", "batches.meta", "train.pkl", "train"]
)
def test_pickles_are_never_loaded(tmp_path, name):
    folder = make_folder(tmp_path / "cifar-10-batches-py", {name: b"\x80\x02c__main__\nboom\n."})
    refuses(folder / name, "never loaded", "binary version", "numpy.savez", kind=UnsafeData)
    refuses(folder, "never loaded", kind=UnsafeData)


def test_pickles_in_an_archive_are_never_loaded(tmp_path):
    files = {f"cifar-10-batches-py/data_batch_{i}": b"\x80\x02." for i in range(1, 6)}
    path = make_tar(tmp_path / "cifar-10-python.tar.gz", files)
    refuses(path, "never loaded", "binary version", kind=UnsafeData)


@pytest.mark.parametrize(
    ("name", "way_out"),
    [("a.mat", "scipy.io.loadmat"), ("a.h5", "numpy.savez"), ("a.tfrecord", "a folder for each"),
     ("a.rar", "unpack it"), ("a.csv.gz", "unpack it"), ("a.xlsx", "CSV"), ("a.pt", "numpy.savez")],
)  # fmt: skip
def test_each_other_kind_has_a_way_out(tmp_path, name, way_out):
    (tmp_path / name).write_bytes(b"something")
    refuses(tmp_path / name, "found", way_out)
    refuses(tmp_path, way_out)


def test_an_array_beside_class_folders_is_refused_as_what_it_is(tmp_path):
    make_folder(tmp_path, {**tree_files(), "labels.npy": b"x"})
    refuses(tmp_path, "labels.npy", "numpy.savez")
