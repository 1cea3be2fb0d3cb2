"""Decoded pixels that are kept: used where they are whole, and never believed otherwise."""

import json
import os

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from domains.formats.made import encoded, image_table, make_parquet, make_tree, pixels
from mithridate.cli.program import app
from mithridate.core.errors import MethodError
from mithridate.domains import kept_pixels
from mithridate.domains.formats import Limits, picture_blocks, read
from mithridate.domains.kept_pixels import DIGEST, MAGIC, KeptPixels, bytes_kept


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder in which pixels are kept, even of few pictures."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("MITHRIDATE_PIXELS", "1")
    monkeypatch.setattr(picture_blocks, "FEWEST", 1)
    return tmp_path / "cache" / "mithridate" / "pixels"


@pytest.fixture
def decoded(monkeypatch):
    """Counts the pictures that are decoded."""
    seen, decode = [], picture_blocks.decode
    monkeypatch.setattr(
        picture_blocks, "decode", lambda data, limits: (seen.append(1), decode(data, limits))[1]
    )
    return seen


def read_twice(path, decoded, **options):
    first = read(path, **options)
    decoded.clear()
    again = read(path, **options)
    assert torch.equal(first.data.inputs, again.data.inputs)
    assert (first.names, first.notes) == (again.names, again.notes)
    return len(decoded)


def test_pictures_are_decoded_once(tmp_path, home, decoded):
    folder = make_tree(tmp_path / "tree", per_class=3)
    blank = np.zeros((6, 5, 3), np.uint8)
    (folder / "cat" / "0.png").write_bytes(encoded(blank))  # what is said of it is kept, too
    assert read_twice(folder, decoded) == 0
    assert read_twice(make_parquet(tmp_path / "t.parquet", image_table(9)), decoded) == 0
    (kept, _) = home.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600 and home.stat().st_mode & 0o777 == 0o700


def test_other_files_and_other_questions_are_other_blocks(tmp_path, home, decoded):
    folder = make_tree(tmp_path / "tree", per_class=3)
    read(folder)
    for options in ({"size": 4}, {"limits": Limits(pixels=999)}):
        decoded.clear()
        assert read(folder, **options).data.inputs.shape[0] == len(decoded) == 6
    (folder / "cat" / "0.png").write_bytes(encoded(pixels(99)))
    decoded.clear()
    assert torch.equal(read(folder).data.inputs[0], torch.from_numpy(pixels(99)).permute(2, 0, 1))
    assert len(decoded) == 6


@pytest.mark.parametrize("picture", [b"broken", encoded(pixels(1, (4, 4, 3)))])
def test_blocks_with_broken_or_unequal_pictures_are_not_kept(tmp_path, home, picture):
    folder = make_tree(tmp_path / "tree", per_class=3)
    (folder / "dog" / "2.png").write_bytes(picture)
    with pytest.raises(Exception, match=r"dog/2\.png"):
        read(folder)
    assert bytes_kept() == 0


def sealed(head: object, body: bytes) -> bytes:
    described = json.dumps(head).encode()
    rest = len(described).to_bytes(4, "little") + described + body
    return MAGIC + kept_pixels._digest(rest) + rest


GOOD = {"shape": [6, 6, 5, 3], "traits": {}, "constant": []}
HOSTILE = {
    "torn": lambda whole: whole[:-7],
    "empty": lambda whole: b"",
    "altered": lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
    "another digest": lambda whole: MAGIC + bytes(DIGEST) + whole[len(MAGIC) + DIGEST :],
    "no description": lambda whole: sealed([], bytes(540)),
    "deep": lambda whole: MAGIC + kept_pixels._digest(b"\x10\x27\0\0" + b"[" * 10000)
    + b"\x10\x27\0\0" + b"[" * 10000,
    "too few": lambda whole: sealed(GOOD | {"shape": [5, 6, 5, 3]}, bytes(450)),
    "too large": lambda whole: sealed(GOOD | {"shape": [6, 2**40, 5, 3]}, bytes(540)),
    "below zero": lambda whole: sealed(GOOD | {"shape": [6, -6, -5, 3]}, bytes(540)),
    "channels": lambda whole: sealed(GOOD | {"shape": [6, 5, 3, 6]}, bytes(540)),
    "a trait": lambda whole: sealed(GOOD | {"traits": {"0": ["<b>"]}}, bytes(540)),
    "a word": lambda whole: sealed(GOOD | {"constant": ["x"]}, bytes(540)),
}  # fmt: skip


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_damaged_or_hostile_block_is_decoded_again(tmp_path, home, decoded, fault):
    folder = make_tree(tmp_path / "tree", per_class=3)
    whole = read(folder).data.inputs
    (kept,) = home.iterdir()
    good = kept.read_bytes()
    kept.write_bytes(HOSTILE[fault](good))
    decoded.clear()
    assert torch.equal(read(folder).data.inputs, whole)
    assert len(decoded) == 6
    assert kept.read_bytes() == good  # and it is mended


def test_a_link_is_not_followed(tmp_path, home, decoded):
    folder = make_tree(tmp_path / "tree", per_class=3)
    read(folder)
    (kept,) = home.iterdir()
    kept.rename(tmp_path / "elsewhere")
    kept.symlink_to(tmp_path / "elsewhere")
    decoded.clear()
    read(folder)
    assert len(decoded) == 6 and not kept.is_symlink()


def test_what_was_used_longest_ago_goes_first(home):
    kept = KeptPixels(home, 1000)
    for age, name in enumerate("abc"):
        kept.keep(name, {}, memoryview(bytes(250)))
        os.utime(home / name, (age, age))
    assert kept.find("a") is not None  # and so "b" was used before it
    kept.keep("d", {}, memoryview(bytes(250)))
    assert sorted(each.name for each in home.iterdir()) == ["a", "c", "d"]
    kept.keep("e", {}, memoryview(bytes(501)))  # more than half of all
    assert kept.find("e") is None and sum(f.stat().st_size for f in home.iterdir()) <= 1000


def test_nothing_is_kept_where_the_user_says_so(tmp_path, home, monkeypatch):
    monkeypatch.setenv("MITHRIDATE_PIXELS", "0")
    read(make_tree(tmp_path / "tree", per_class=3))
    assert not home.exists()
    monkeypatch.setenv("MITHRIDATE_PIXELS", "much")
    with pytest.raises(MethodError, match=r"MITHRIDATE_PIXELS .* found 'much'"):
        read(tmp_path / "tree")


def test_a_place_that_cannot_be_written_is_no_fault(tmp_path, home, decoded):
    (tmp_path / "cache").write_text("a file")
    assert read_twice(make_tree(tmp_path / "tree", per_class=3), decoded) == 6


def test_a_command_deletes_them(tmp_path, home):
    read(make_tree(tmp_path / "tree", per_class=3))
    (home / ".half.writing").write_bytes(b"what a power cut left")
    said = CliRunner().invoke(app, ["sets"]).output
    assert str(home) in said.replace("\n", "") and "of at most 1 MiB" in said.replace("\n", " ")
    assert "Deleted" in CliRunner().invoke(app, ["sets", "--forget-pixels"]).output
    assert list(home.iterdir()) == []
