"""NumPy archives: what is read, and how each bad one is refused."""

import io
import pickle
import zipfile

import numpy as np
import pytest

from domains.formats.made import LABELS, make_npz, pixels
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import Limits, read

IMAGES = pixels(0, (6, 5, 4, 3))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.npz"


def refuses(path, *words, kind=DataError, **options):
    with pytest.raises(kind) as caught:
        read(path, **options)
    for word in ("data.npz", *words):
        assert word in str(caught.value), str(caught.value)


def found(path, **options):
    return read(path, **options).data.inputs.permute(0, 2, 3, 1).numpy()


def test_images_and_labels_are_read(path):
    source = read(make_npz(path))
    assert np.array_equal(source.data.inputs.permute(0, 2, 3, 1), IMAGES)
    assert source.data.labels.tolist() == LABELS and source.data.classes == ("0", "1")
    assert source.names[2] == "data.npz row 2" and source.format == "npz"


@pytest.mark.parametrize(("content", "label"), [("x", "y"), ("data", "labels"), ("X", "Y")])
def test_the_usual_names_are_found(path, content, label):
    assert len(read(make_npz(path, **{content: IMAGES, label: LABELS})).data) == 6


@pytest.mark.parametrize(("train", "test"), [("x_train", "x_test"), ("train_images", "val_images")])
def test_arrays_may_name_their_split(path, train, test):
    labels = train.replace("images", "labels").replace("x_", "y_")
    others = test.replace("images", "labels").replace("x_", "y_")
    make_npz(path, **{train: IMAGES, labels: LABELS, test: IMAGES[:4], others: LABELS[:4]})
    source = read(path)
    assert len(source.data) == 6 and "'train'" in source.notes[0]
    assert len(read(path, split="test" if "test" in test else "validation").data) == 4


def test_a_split_that_is_not_there_is_refused(path):
    make_npz(path, x_train=IMAGES, y_train=LABELS)
    refuses(path, "split 'test'", "'train'", split="test")


def test_all_axes_are_understood(path):
    assert np.array_equal(found(make_npz(path, x=IMAGES.transpose(0, 3, 1, 2), y=LABELS)), IMAGES)
    assert np.array_equal(found(make_npz(path, x=IMAGES[..., 0], y=LABELS))[..., 0], IMAGES[..., 0])
    assert np.array_equal(found(make_npz(path, x=IMAGES[..., :1], y=LABELS)), IMAGES[..., :1])


@pytest.mark.parametrize("kind", [np.int64, np.uint16, np.float32, np.float64, np.float16])
def test_whole_numbers_up_to_255_are_read(path, kind):
    assert np.array_equal(found(make_npz(path, x=IMAGES.astype(kind), y=LABELS)), IMAGES)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_values_up_to_one_are_scaled_and_noted(path, kind):
    source = read(make_npz(path, x=(IMAGES / 255).astype(kind), y=LABELS))
    assert np.array_equal(source.data.inputs.permute(0, 2, 3, 1), IMAGES)
    assert any("255" in note for note in source.notes)


def test_class_names_and_what_is_of_each_example_are_kept(path):
    make_npz(path, x=IMAGES, y=LABELS, classes=["no", "yes"], track=[0, 0, 1, 1, 2, 2], more=[1])
    source = read(path)
    assert source.data.classes == ("no", "yes") and source.layout.rest["track"].tolist() == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]
    assert any("'more'" in note for note in source.notes)


def test_labels_may_be_a_column_or_names(path):
    assert (
        read(make_npz(path, x=IMAGES, y=np.array(LABELS)[:, None])).data.labels.tolist() == LABELS
    )
    names = np.array(["no", "yes"])[LABELS]
    assert read(make_npz(path, x=IMAGES, y=names)).data.classes == ("no", "yes")
    assert read(make_npz(path, x=IMAGES, y=names.astype(bytes))).data.classes == ("no", "yes")


def test_arrays_can_be_chosen(path):
    make_npz(path, a=IMAGES, b=LABELS, x=IMAGES[:2], y=[0, 1])
    assert len(read(path, content="a", label="b").data) == 6
    refuses(path, "'c'", "'a', 'b', 'x', 'y'", content="c")


def test_a_size_resizes(path):
    assert read(make_npz(path), size=8).data.inputs.shape == (6, 3, 8, 8)


def test_no_pickle_is_ever_loaded(path):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was loaded",))

    make_npz(path, x=np.array([Evil()] * 6, dtype=object), y=LABELS)
    refuses(path, "Python objects", "pickle", kind=UnsafeData)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Evil()))
        archive.writestr("y.npy", pickle.dumps(Evil()))
    refuses(path, "broken")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(path, value):
    images = (IMAGES / 255).astype(np.float32)
    images[4, 1, 2, 0] = value
    make_npz(path, x=images, y=LABELS)
    refuses(path, "row 4", "finite", "NaN or infinity")
    source = read(path, keep_going=True)
    assert [each.name for each in source.rejected] == ["data.npz row 4"]
    assert source.data.labels.tolist() == [0, 1, 0, 1, 0]
    assert np.array_equal(source.data.inputs[4].permute(1, 2, 0), IMAGES[5])


@pytest.mark.parametrize(
    "images", [IMAGES - 128.0, IMAGES * 2.0, IMAGES / 100, IMAGES.astype(int) - 1]
)
def test_values_of_another_range_are_refused(path, images):
    refuses(make_npz(path, x=images, y=LABELS), "0..255", "0..1", "values from", "normalisation")


@pytest.mark.parametrize(
    "shape", [(6, 60), (6,), (6, 5, 4, 2), (6, 3, 5, 3), (6, 0, 4), (2, 3, 1, 2, 5)]
)
def test_shapes_that_are_no_images_are_refused(path, shape):
    images = np.zeros(shape, np.uint8)
    refuses(make_npz(path, x=images, y=LABELS), "[n, h, w]", str(list(shape)), "reshape")


@pytest.mark.parametrize("kind", [bool, complex, "datetime64[s]", "U3"])
def test_arrays_that_are_no_numbers_are_refused(path, kind):
    refuses(make_npz(path, x=IMAGES.astype(kind), y=LABELS), "expected numbers", "found")


def test_another_number_of_labels_is_refused(path):
    refuses(make_npz(path, x=IMAGES, y=LABELS[:5]), "6 labels", "[5]")
    refuses(make_npz(path, x=IMAGES, y=np.eye(6)), "6 labels", "[6, 6]", "argmax")


BAD_LABELS = [
    ([0, 1, -1, 1, 0, 1], "0 or more"), ([0, 1, 0.5, 1, 0, 1], "whole number"),
    ([0, 1, np.nan, 1, 0, 1], "expected a label"), ([0, 1, 2**40, 1, 0, 1], "too large"),
    ([0, 1, np.inf, 1, 0, 1], "whole number"), (["a", "b", "", "a", "b", "a"], "expected a label"),
]  # fmt: skip


@pytest.mark.parametrize(("labels", "words"), BAD_LABELS)
def test_a_bad_label_is_named_by_its_row(path, labels, words):
    make_npz(path, x=IMAGES, y=np.array(labels))
    refuses(path, "data.npz row 2", words)
    assert len(read(path, keep_going=True).data) == 5


def test_missing_arrays_are_refused(path):
    refuses(make_npz(path, y=LABELS), "content", "image", "'y'", "content=")
    refuses(make_npz(path, x=IMAGES), "label", "'x'", "label=")


def test_one_class_only_is_refused(path):
    refuses(make_npz(path, x=IMAGES, y=[3] * 6), "two classes", "only class '3'")


def test_no_images_are_refused(path):
    refuses(make_npz(path, x=IMAGES[:0], y=[]), "found")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_refused(path, share):
    data = make_npz(path).read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refuses(path, "archive", "broken", "save it again")


def test_a_damaged_archive_is_refused(path):
    data = bytearray(make_npz(path).read_bytes())
    data[200:220] = bytes(20)
    path.write_bytes(bytes(data))
    refuses(path, "broken")


def test_other_files_in_the_archive_are_refused(path):
    make_npz(path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../evil.py", "x")
    refuses(path, "(.npy)", "'../evil.py'")


def test_two_arrays_of_one_name_are_refused(path):
    make_npz(path)
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("images.npy", "x")
    refuses(path, "'images'", "more than once")


def header(shape, kind="|u1"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": kind, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def test_an_archive_bomb_is_refused_before_it_is_unpacked(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header((6, 4000, 4000)) + bytes(6 * 4000 * 4000))
        archive.writestr("y.npy", header((6,), "|i1") + bytes([0, 1, 0, 1, 1, 0]))
    assert path.stat().st_size < 200_000
    refuses(path, "at most 1000000 bytes", "96000", kind=UnsafeData, limits=Limits(total=10**6))


def test_a_header_that_asks_for_more_than_there_is_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header((10**6, 10**6, 10**6)) + bytes(100))
        archive.writestr("y.npy", header((6,)) + bytes(6))
    refuses(path, "'x.npy'", "10" + "0" * 17, kind=UnsafeData)


def test_too_many_rows_are_refused(path):
    refuses(make_npz(path), "at most 5", limits=Limits(rows=5))


def test_several_archives_are_refused(tmp_path):
    make_npz(tmp_path / "data.npz")
    make_npz(tmp_path / "more.npz")
    with pytest.raises(DataError, match=r"one \.npz file, found 2"):
        read(tmp_path)


def test_an_archive_is_not_read_as_text(path):
    refuses(make_npz(path), "read as image", domain="text")
