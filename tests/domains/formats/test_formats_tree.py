"""Folders of images: what is read, and how each bad one is refused."""

import os
import shutil
import struct
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from domains.formats.made import encoded, make_tree, pixels
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import Limits, read
from mithridate.domains.image.domain import ImageDomain


@pytest.fixture
def tree(tmp_path):
    return make_tree(tmp_path / "data")


def refuses(path, *words, kind=DataError, **options):
    """The error must be of the kind, and hold every word: file, expected, found, what to do."""
    with pytest.raises(kind) as caught:
        read(path, **options)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def add(tree, data, name="dog/new.png"):
    path = tree / name
    path.write_bytes(data)
    return path


def test_a_tree_becomes_a_source(tree):
    source = read(tree)
    assert source.data.classes == ("cat", "dog")
    assert source.data.labels.tolist() == [0, 0, 1, 1]
    assert source.data.ids.tolist() == [0, 1, 2, 3]
    assert source.names == ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png")
    assert source.data.inputs.dtype == torch.uint8
    expected = torch.from_numpy(pixels(11)).permute(2, 0, 1)
    assert torch.equal(source.data.inputs[3], expected)
    assert source.format == "tree" and source.origin == tree.resolve()
    assert isinstance(source.domain, ImageDomain)
    assert source.rejected == () and source.skipped == ()


@pytest.mark.parametrize(
    ("kind", "suffix", "options"),
    [("PNG", "png", {}), ("BMP", "bmp", {}), ("WEBP", "webp", {"lossless": True}),
     ("JPEG", "jpg", {"quality": 95}), ("JPEG", "JPEG", {"quality": 95})],
)  # fmt: skip
def test_the_four_formats_are_read(tree, kind, suffix, options):
    image = np.full((6, 5, 3), 90, np.uint8)
    add(tree, encoded(image, kind, **options), f"dog/new.{suffix}")
    found = read(tree).data.inputs[-1].permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) - image).max() <= (2 if kind == "JPEG" else 0)


def test_grey_images_keep_one_channel(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        add(tmp_path, encoded(pixels(0, (4, 4))), f"{name}/0.png")
    assert read(tmp_path).data.inputs.shape == (2, 1, 4, 4)


@pytest.mark.parametrize("name", ["cat/grey.png", "dog/zgrey.png", "cat/!grey.png"])
def test_grey_among_rgb_becomes_rgb_and_is_noted(tree, name):
    grey = pixels(3, (6, 5))
    add(tree, encoded(grey), name)
    source = read(tree)
    found = source.data.inputs[source.names.index(name)]
    assert all(np.array_equal(channel.numpy(), grey) for channel in found)
    others = [i for i, other in enumerate(source.names) if other != name]
    assert torch.equal(source.data.inputs[others], read(make_tree(tree / "../own")).data.inputs)
    assert any("mixed" in note for note in source.notes)


def test_alpha_is_dropped_so_hidden_pixels_are_seen(tree):
    image = np.dstack([pixels(5), np.zeros((6, 5), np.uint8)])
    add(tree, encoded(image), "dog/z.png")
    assert np.array_equal(read(tree).data.inputs[-1].permute(1, 2, 0), image[:, :, :3])


def test_palettes_cmyk_and_two_levels_are_converted(tree):
    picture = Image.fromarray(pixels(6))
    add(tree, encoded(picture.convert("P")), "dog/p.png")
    add(tree, encoded(picture.convert("CMYK"), "JPEG"), "dog/q.jpg")
    add(tree, encoded(picture.convert("1")), "dog/r.png")
    add(tree, encoded(picture.convert("LA")), "dog/s.png")
    p, q, r, s = read(tree).data.inputs[-4:].permute(0, 2, 3, 1).numpy()
    assert np.array_equal(p, np.asarray(picture.convert("P").convert("RGB")))
    assert q.shape == (6, 5, 3)
    assert set(np.unique(r)) == {0, 255}
    assert np.array_equal(s[:, :, 0], np.asarray(picture.convert("L")))


def test_an_exif_orientation_is_not_applied_but_noted(tree):
    exif = Image.Exif()
    exif[0x0112] = 6
    add(tree, encoded(pixels(7), "PNG", exif=exif))
    source = read(tree)
    assert np.array_equal(source.data.inputs[-1].permute(1, 2, 0), pixels(7))
    assert any("EXIF" in note for note in source.notes)


def test_broken_exif_does_not_make_a_whole_image_broken(tree):
    add(tree, encoded(pixels(7), "PNG", exif=b"Exif\0\0ZZ"))
    assert np.array_equal(read(tree).data.inputs[-1].permute(1, 2, 0), pixels(7))


def test_a_broken_image_is_refused(tree):
    data = bytearray(encoded(pixels(0)))
    data[50:60] = b"0123456789"
    add(tree, bytes(data))
    refuses(tree, "dog/new.png", "whole image", "broken", "remove", "keep_going")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_image_is_refused(tree, kind, share):
    data = encoded(pixels(0, (64, 64, 3)), kind)
    add(tree, data[: int(len(data) * share)], f"dog/new.{kind.lower()}")
    refuses(tree, "dog/new.", "image", "broken", size=8)


def test_an_empty_file_is_refused(tree):
    add(tree, b"")
    refuses(tree, "dog/new.png", "expected an image", "empty file")


def test_another_format_under_an_images_name_is_refused(tree):
    add(tree, encoded(pixels(0), "ICO"))
    refuses(tree, "dog/new.png", "PNG, JPEG, WebP, BMP", "something else", "convert")


def chunk(kind, data):
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png_header(width, height):
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def webp_header(width, height):
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("width", [8_000, 12_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(tree, width):
    # There are no pixels at all in the file, so anything that decodes would call it broken
    body = chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    add(tree, png_header(width, 8_000) + body)
    refuses(tree, "dog/new.png", "expected", "found", kind=UnsafeData)


def test_a_webp_bomb_is_refused_before_it_is_opened(tree, monkeypatch):
    add(tree, webp_header(16_000, 16_000), "dog/new.webp")
    refuses(tree, "dog/new.webp", "16000x16000", "Limits.pixels", kind=UnsafeData)


def test_the_pixel_limit_can_be_changed(tree):
    refuses(tree, "at most 29 pixels", "5x6", kind=UnsafeData, limits=Limits(pixels=29))
    assert len(read(tree, limits=Limits(pixels=30)).data) == 4


def test_a_file_that_is_too_large_is_refused(tree):
    refuses(tree, "cat/0.png", "at most 40 bytes", kind=UnsafeData, limits=Limits(file=40))


def test_too_many_images_for_the_memory_are_refused(tree):
    refuses(tree, "4 images of 5x6", "GiB", "size=32", limits=Limits(total=4 * 6 * 5 * 3 - 1))
    assert len(read(tree, limits=Limits(total=4 * 6 * 5 * 3)).data) == 4


def test_mixed_sizes_are_refused_with_a_way_out(tree):
    add(tree, encoded(pixels(0, (7, 8, 3))))
    refuses(tree, "dog/new.png", "5x6", "'cat/0.png'", "8x7", "size=32")
    refuses(tree, "size=32", keep_going=True)  # a fault of the whole, not of one example


def test_a_size_resizes_bilinearly(tree):
    big = pixels(0, (17, 13, 3))
    add(tree, encoded(big))
    source = read(tree, size=8)
    expected = Image.fromarray(big).resize((8, 8), Image.Resampling.BILINEAR)
    assert source.data.inputs.shape == (5, 3, 8, 8)
    assert np.array_equal(source.data.inputs[-1].permute(1, 2, 0), np.asarray(expected))


@pytest.mark.parametrize("size", [0, 3, -3, 100_000])
def test_a_senseless_size_is_refused(tree, size):
    refuses(tree, "4 to 4096", str(size), size=size)


def test_one_class_only_is_refused(tmp_path):
    make_tree(tmp_path / "data", classes=("cat",))
    refuses(tmp_path / "data", "at least two classes", "only class 'cat'", "check")


def test_an_empty_folder_is_refused(tmp_path):
    refuses(tmp_path, "class folders", "found an empty folder")


def test_an_empty_class_folder_is_refused(tree):
    (tree / "ant").mkdir()
    refuses(tree, "'ant'", "expected images", "none")


def test_a_folder_in_a_class_folder_is_refused(tree):
    (tree / "dog/puppies").mkdir()
    refuses(tree, "dog/puppies", "found a folder", "whose folders are the classes")
    refuses(tree, "dog/puppies", keep_going=True)


def test_a_file_beside_the_class_folders_is_refused(tree):
    add(tree, b"x", "list.doc")
    refuses(tree, "list.doc", "only class folders", "move it")


def test_an_unexpected_suffix_is_refused(tree):
    add(tree, b"x", "dog/notes.doc")
    refuses(tree, "dog/notes.doc", "expected a picture (PNG,", "or a sound", "remove")


def test_images_without_class_folders_are_refused(tmp_path):
    add(tmp_path, encoded(pixels(0)), "a.png")
    refuses(tmp_path, "a folder for each class", "without class folders")


def test_files_of_unknown_kind_are_refused(tmp_path):
    add(tmp_path, b"x", "a.xyz")
    refuses(tmp_path, ".parquet", "'....xyz'")
    refuses(tmp_path / "a.xyz", ".parquet")


def test_what_systems_leave_behind_is_skipped_and_listed(tree):
    for name in (".DS_Store", "Thumbs.db", "dog/._0.png", "dog/desktop.ini", "README.md"):
        add(tree, b"x", name)
    for name in ("__MACOSX", ".git"):
        (tree / name).mkdir()
    source = read(tree)
    assert len(source.data) == 4
    assert set(source.skipped) == {
        ".DS_Store", "Thumbs.db", "dog/._0.png", "dog/desktop.ini", "README.md", "__MACOSX", ".git"
    }  # fmt: skip


def test_a_link_out_of_the_tree_is_not_followed(tree, tmp_path):
    secret = add(tmp_path, encoded(pixels(0)), "secret.png")
    (tree / "dog/link.png").symlink_to(secret)
    refuses(tree, "dog/link.png", "out of the folder", "copy", kind=UnsafeData)
    source = read(tree, keep_going=True)
    assert [each.name for each in source.rejected] == ["dog/link.png"]


def test_a_relative_link_out_of_the_tree_is_not_followed(tree, tmp_path):
    add(tmp_path, encoded(pixels(0)), "secret.png")
    (tree / "dog/link.png").symlink_to("../../secret.png")
    refuses(tree, "dog/link.png", "out of the folder", kind=UnsafeData)


def test_a_linked_folder_out_of_the_tree_is_not_followed(tree, tmp_path):
    other = make_tree(tmp_path / "other")
    (tree / "horse").symlink_to(other / "cat", target_is_directory=True)
    refuses(tree, "'horse'", "out of the folder", kind=UnsafeData)


def test_a_link_inside_the_tree_is_followed(tree):
    (tree / "dog/link.png").symlink_to("../cat/0.png")
    assert len(read(tree).data) == 5


@pytest.mark.parametrize("target", ["nowhere.png", "link.png"])
def test_a_link_that_leads_nowhere_is_refused(tree, target):
    (tree / "dog/link.png").symlink_to(target)
    refuses(tree, "dog/link.png", "leads nowhere", "remove")


def test_the_root_itself_may_be_a_link(tree, tmp_path):
    (tmp_path / "link").symlink_to(tree, target_is_directory=True)
    assert len(read(tmp_path / "link").data) == 4


def test_a_pipe_is_refused_and_not_opened(tree):
    os.mkfifo(tree / "dog/pipe.png")
    refuses(tree, "dog/pipe.png", "found neither")
    refuses(tree / "dog/pipe.png", "expected a file or a folder")


@pytest.mark.parametrize("below", ["dog/0.png", "dog", ""])
def test_what_may_not_be_read_is_refused(below):
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.geteuid()
    try:
        tree = make_tree(folder / "data")
        (tree / below).chmod(0)
        if user == 0:
            os.seteuid(65534)  # permissions do not bind root
        refuses(tree, "permission" if below else "data", "chmod" if below else "")
    finally:
        os.seteuid(user)
        (folder / "data" / below).chmod(0o755)
        shutil.rmtree(folder)


def test_a_path_that_is_not_there_is_refused(tmp_path):
    refuses(tmp_path / "none", "none", "No such file")
    refuses(tmp_path / "nul\0l", "check the path")


def test_keep_going_lists_bad_examples_and_reads_the_rest(tree, tmp_path):
    add(tree, b"", "cat/empty.png")
    add(tree, encoded(pixels(0))[:60], "cat/short.png")
    add(tree, png_header(60_000, 60_000), "dog/bomb.png")
    add(tree, b"x", "dog/notes.doc")
    add(tree, b"x", "list.doc")
    (tree / "ant").mkdir()
    source = read(tree, keep_going=True)
    assert {each.name for each in source.rejected} == {
        "cat/empty.png", "cat/short.png", "dog/bomb.png", "dog/notes.doc", "list.doc", "ant"
    }  # fmt: skip
    assert all("expected" in each.reason for each in source.rejected)
    assert source.names == ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png")
    assert source.data.classes == ("ant", "cat", "dog")
    assert source.data.labels.tolist() == [1, 1, 2, 2]
    assert torch.equal(source.data.inputs, read(make_tree(tmp_path / "own")).data.inputs)


HOSTILE = [
    "a\nb.png",
    "<img src=x onerror=alert(1)>.png",
    "\u202egnp.exe.png",
    "ü ✓.png",
    "$(id).png",
]


def test_hostile_names_are_names(tree):
    for name in HOSTILE:
        add(tree, encoded(pixels(0)), f"dog/{name}")
    assert {f"dog/{name}" for name in HOSTILE} <= set(read(tree).names)


def test_names_that_are_no_unicode_are_escaped(tree):
    (tree / "dog/0.png").rename(tree / "dog" / os.fsdecode(b"\xff.png"))
    (tree / "dog").rename(tree / os.fsdecode(b"d\xfeg"))
    source = read(tree)
    assert source.data.classes == ("cat", "d\\xfeg")
    assert "d\\xfeg/\\xff.png" in source.names
    "".join(source.names + source.data.classes).encode()


def test_messages_escape_what_would_move_the_terminal(tree):
    add(tree, b"", "dog/\x1b[2Jevil\n.png")
    with pytest.raises(DataError) as caught:
        read(tree)
    assert "\x1b" not in str(caught.value) and "\n" not in str(caught.value)


def test_split_folders_are_told_from_classes(tmp_path):
    make_tree(tmp_path / "train", per_class=3)
    make_tree(tmp_path / "test", per_class=1)
    source = read(tmp_path)
    assert len(source.data) == 6 and source.names[0] == "train/cat/0.png"
    assert source.notes == ("Split 'train' was read, of test, train.",)
    assert len(read(tmp_path, split="test").data) == 2
    refuses(tmp_path, "validation", "test, train", split="val")


def test_a_split_must_have_a_known_name(tree):
    refuses(tree, "train, test or validation", "'tset'", split="tset")


def test_a_tree_is_not_read_as_text(tree):
    refuses(tree, "read as image", "'text'", domain="text")
    refuses(tree, "auto, image, ", "'audio'", domain="audio")
