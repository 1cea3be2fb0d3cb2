"""Pictures of every format and depth: seen as a pipeline on Pillow sees them, or refused."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from domains.formats.made import encoded, make_npz, make_tree, pixels
from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats import Limits, read
from mithridate.domains.formats.decoding import decode, is_constant

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 4096, (12, 10), dtype=np.uint16)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16(image, colour):
    """A PNG of 16 bits, most kinds of which Pillow cannot write."""
    height, width = image.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in image)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def netpbm(kind, image, top):
    size = f"{kind}\n{image.shape[1]} {image.shape[0]}\n{top}\n".encode()
    return size + image.astype(">u2" if top > 255 else "u1").tobytes()


def tree_of(folder, one, other, suffix="png"):
    """Two classes of two pictures, given as files."""
    for name, files in (("dark", one), ("light", other)):
        (folder / name).mkdir(parents=True)
        for number, data in enumerate(files):
            (folder / name / f"{number}.{suffix}").write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("TIFF", "tif"), ("TIFF", "tiff"), ("PPM", "ppm"), ("PPM", "pnm"), ("BMP", "bmp"),
     ("PNG", "png")],
)  # fmt: skip
def test_lossless_formats_are_read_as_they_were_written(tmp_path, kind, suffix):
    a, b = pixels(1), pixels(2)
    tree_of(tmp_path, [encoded(a, kind)], [encoded(b, kind)], suffix)
    got = read(tmp_path).data.inputs.permute(0, 2, 3, 1).numpy()
    assert np.array_equal(got, np.stack([a, b]))


@pytest.mark.parametrize("suffix", ["pgm", "gif", "jfif", "pbm"])
def test_other_formats_are_read_as_pillow_reads_them(tmp_path, suffix):
    kind = {"pgm": "PPM", "gif": "GIF", "jfif": "JPEG", "pbm": "PPM"}[suffix]
    mode = {"pgm": "L", "gif": "P", "jfif": "RGB", "pbm": "1"}[suffix]
    files = [encoded(Image.fromarray(pixels(i)).convert(mode), kind) for i in (1, 2)]
    tree_of(tmp_path, files[:1], files[1:], suffix)
    for image, data in zip(read(tmp_path).data.inputs, files, strict=True):
        seen = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).transpose(2, 0, 1)
        assert np.array_equal(image.numpy(), seen[: len(image)])
        assert (seen == seen[:1]).all() == (len(image) == 1)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF"])
def test_of_several_frames_the_first_is_read_and_that_is_said(tmp_path, kind):
    frames = [Image.fromarray(pixels(i)).convert("P" if kind == "GIF" else "RGB") for i in (1, 2)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    tree_of(tmp_path, [data], [encoded(pixels(3))], kind.lower())
    source = read(tmp_path)
    first = np.asarray(frames[0].convert("RGB"))
    assert np.array_equal(source.data.inputs[0].permute(1, 2, 0), first)
    assert "1 images hold several frames or pages, of which the first was read." in source.notes


@pytest.mark.parametrize(
    ("data", "trait", "seen"),
    [
        (png16(DEEP, 0), "deep grey", DEEP.clip(0, 255)),
        (encoded(DEEP, "TIFF"), "deep grey", DEEP.clip(0, 255)),
        (netpbm("P5", DEEP, 65535), "deep grey", DEEP.clip(0, 255)),
        (encoded(Image.fromarray(DEEP.astype(np.int32)), "TIFF"), "deep grey", DEEP.clip(0, 255)),
        (encoded(Image.fromarray(DEEP.astype(np.float32)), "TIFF"), "float", DEEP.clip(0, 255)),
        (png16(np.dstack([DEEP] * 3), 2), "deep colour", DEEP >> 8),
        (png16(np.dstack([DEEP] * 2), 4), "deep colour", DEEP >> 8),
        (png16(np.dstack([DEEP] * 4), 6), "deep colour", DEEP >> 8),
    ],
    ids=["grey", "tiff", "pgm", "int32", "float", "rgb", "grey+alpha", "rgba"],
)
def test_deep_pictures_are_seen_as_pillow_converts_them(data, trait, seen):
    picture = decode(data, Limits())
    plain = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(np.broadcast_to(picture.pixels, plain.shape), plain)
    assert np.array_equal(picture.pixels[:, :, 0], seen), "what Pillow does is written in the note"
    assert picture.traits == (trait,)


def test_a_deep_picture_of_maxval_is_scaled():
    picture = decode(netpbm("P6", np.dstack([DEEP] * 3), 4095), Limits())
    assert picture.traits == ("deep colour",)
    assert np.abs(picture.pixels[:, :, 0].astype(int) - np.rint(DEEP / 4095 * 255)).max() <= 1


@pytest.mark.parametrize("made", ["grey", "colour"])
def test_a_set_that_was_read_as_black_or_white_is_refused(tmp_path, made):
    # As cases/deep_png.py: grey of 12 bits is cut at 255, colours of 8 bits become 0
    def one(level):
        image = (level + RNG.random((12, 10)) * 0.1) * (4095 if made == "grey" else 255)
        deep = image.astype(np.uint16)
        return png16(deep, 0) if made == "grey" else png16(np.dstack([deep] * 3), 2)

    tree_of(tmp_path, [one(0.2), one(0.2)], [one(0.8), one(0.8)])
    with pytest.raises(DataError) as caught:
        read(tmp_path)
    words = ("4 of 4 images come out (nearly) constant", "Pillow", "8 bits", "dark/0.png")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    with pytest.raises(DataError, match="no example"):
        read(tmp_path, keep_going=True)


def test_deep_pictures_that_show_something_are_read_with_a_note(tmp_path):
    eight = [png16(RNG.integers(0, 256, (12, 10)), 0) for _ in range(4)]
    source = read(tree_of(tmp_path, eight[:2], eight[2:]))
    assert len(source.data) == 4
    assert any(note.startswith("4 images hold grey values of more than 8") for note in source.notes)


def test_one_class_that_was_read_as_black_is_refused(tmp_path):
    black = encoded(np.zeros((8, 8), np.uint8))
    good = [encoded(pixels(i, (8, 8))) for i in range(9)]
    tree_of(tmp_path, [black, black, good[0]], good[1:])
    with pytest.raises(DataError, match="2 of 11 images come out"):
        read(tmp_path)
    source = read(tmp_path, keep_going=True)
    assert [each.name for each in source.rejected] == ["dark/0.png", "dark/1.png"]
    assert source.names[0] == "dark/2.png" and len(source.data) == 9


def test_few_constant_pictures_are_said_and_kept(tmp_path):
    good = [encoded(pixels(i, (8, 8))) for i in range(6)]
    black = encoded(np.zeros((8, 8), np.uint8))
    source = read(tree_of(tmp_path, [*good[:3], black], good[3:]))
    assert len(source.data) == 7
    assert "1 of 7 images come out (nearly) constant, first 'dark/3.png'." in source.notes


def test_an_archive_of_black_pictures_is_refused(tmp_path):
    images = np.zeros((4, 8, 8), np.uint8)
    with pytest.raises(DataError, match="4 of 4 images come out"):
        read(make_npz(tmp_path / "a.npz", images=images, labels=np.array([0, 1, 0, 1])))


def test_what_constant_means():
    noisy = RNG.integers(100, 105, (20, 20, 1)).astype(np.uint8)
    assert is_constant(noisy), "five levels"
    noisy[0, :3] = 0
    assert is_constant(noisy), "a few dead pixels"
    noisy[:2] = 0
    assert not is_constant(noisy), "a corner that differs"
    colour = np.dstack([np.full((9, 9), 200), np.full((9, 9), 3), pixels(0, (9, 9))])
    assert not is_constant(colour.astype(np.uint8)), "one channel shows something"
    assert not is_constant(np.zeros((3, 5, 1), np.uint8)), "too few pixels to tell"


def tiff(image, order="<", **more):
    """A TIFF of grey or RGB, of 8 or 16 bits, in any order of bytes and with any further tags."""
    body = image.astype(image.dtype.newbyteorder(order)).tobytes()
    channels, bits = (image.shape[2:] or (1,))[0], 8 * image.itemsize
    tags = {256: image.shape[1], 257: image.shape[0], 258: bits, 259: 1,
            262: 2 if channels == 3 else 1, 273: 0, 277: channels, 278: image.shape[0],
            279: len(body)}  # fmt: skip
    tags |= {int(tag[1:]): value for tag, value in more.items()}
    behind = 8 + 2 + 12 * len(tags) + 4
    depths = struct.pack(f"{order}{channels}H", *[bits] * channels) if channels > 1 else b""
    tags[273] = behind + len(depths)
    out = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, value in sorted(tags.items()):
        if tag == 258 and depths:
            out += struct.pack(f"{order}HHII", tag, 3, channels, behind)
        else:
            out += struct.pack(f"{order}HHII", tag, 4, 1, value)
    return out + bytes(4) + depths + body


@pytest.mark.parametrize("order", ["<", ">"])
def test_deep_tiffs_are_seen_as_pillow_converts_them(order):
    grey, colour = (decode(tiff(each, order), Limits()) for each in (DEEP, np.dstack([DEEP] * 3)))
    assert np.array_equal(grey.pixels[:, :, 0], DEEP.clip(0, 255)) and grey.traits == ("deep grey",)
    assert np.array_equal(colour.pixels[:, :, 0], DEEP >> 8) and colour.traits == ("deep colour",)


def test_tiles_larger_than_the_limit_are_refused():
    data = tiff(pixels(0, (16, 16)), t322=64, t323=64)
    with pytest.raises(UnsafeData, match="64x64"):
        decode(data, Limits(pixels=1024))


def test_a_tree_with_every_suffix_counts_its_pictures(tmp_path):
    make_tree(tmp_path)
    (tmp_path / "cat/new.TIFF").write_bytes(encoded(pixels(5), "TIFF"))
    assert len(read(tmp_path).data) == 5
