"""Files appear whole or not at all, and values become what strict JSON holds."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from mithridate.core.files import (
    read_tensors,
    replacement,
    write_json,
    write_tensors,
    write_text,
)
from mithridate.core.plain import finite, plain


def test_what_is_written_takes_the_place_of_an_older_file(tmp_path):
    write_text(tmp_path / "a.txt", "first\n")
    write_text(tmp_path / "a.txt", "é\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\r\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_writer_that_stops_leaves_the_older_file_and_nothing_else(tmp_path):
    write_json(tmp_path / "a.json", {"kept": 1})
    with pytest.raises(KeyboardInterrupt), replacement(tmp_path / "a.json") as unfinished:
        unfinished.write_text("{")
        raise KeyboardInterrupt
    assert json.loads((tmp_path / "a.json").read_text()) == {"kept": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with replacement(tmp_path / "a") as first, replacement(tmp_path / "a") as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_text() == "first", "the one that ended last"


def test_a_file_has_the_rights_of_any_new_file(tmp_path):
    (tmp_path / "usual").write_text("")
    write_text(tmp_path / "a", "")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_tensors_that_share_memory_or_lie_askew_are_written_as_they_look(tmp_path):
    whole = torch.arange(6.0).view(2, 3)
    write_tensors(tmp_path / "t", {"whole": whole, "same": whole, "turned": whole.T}, {"note": "n"})
    kept = load_file(tmp_path / "t")
    assert torch.equal(kept["same"], whole)
    assert torch.equal(kept["turned"], whole.T)


def test_numbers_that_are_not_finite_become_none():
    given = {"a": math.nan, "b": [1.5, -math.inf, (True, "x")], 3: None}
    assert finite(given) == {"a": None, "b": [1.5, None, [True, "x"]], 3: None}
    kept = plain(given | {"c": torch.float32})
    assert kept == {"a": None, "b": [1.5, None, [True, "x"]], "3": None, "c": "torch.float32"}
    assert json.dumps(kept, allow_nan=False)


def test_what_was_kept_is_read_and_what_is_damaged_is_as_if_it_were_not_there(tmp_path):
    path = tmp_path / "kept.safetensors"
    assert read_tensors(None) == read_tensors(path) == ({}, {})
    write_tensors(path, {"a": torch.arange(3.0)}, {"note": json.dumps({"key": "k"})})
    tensors, note = read_tensors(path, "note")
    assert torch.equal(tensors["a"], torch.arange(3.0)) and note == {"key": "k"}
    assert read_tensors(path)[1] == {}
    whole = path.read_bytes()
    for torn in (b"", whole[:5], whole[:-1], b"\xff" * 300, whole.replace(b"k", b"\\")):
        path.write_bytes(torn)
        assert read_tensors(path, "note") == ({}, {})
    for said in ("no JSON", "[]"):
        write_tensors(path, {"a": torch.ones(1)}, {"note": said})
        assert read_tensors(path, "note") == ({}, {})
