"""What an inspection says, held against what is known of each file."""

import io
import json
import pickle
import struct
import sys
import types
import zipfile
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mithridate.artifacts.expressions import objection
from mithridate.artifacts.findings import KEPT, FileLimits, Log
from mithridate.artifacts.inspect import inspect_file
from mithridate.artifacts.pickle_names import ALLOWED
from mithridate.artifacts.pickle_program import Storage
from mithridate.artifacts.pickles import disassemble
from mithridate.artifacts.values import nonfinite
from mithridate.core.errors import DataError


def program(words):
    return disassemble(io.BytesIO(words), len(words), Log())


def test_a_pickle_is_read_and_not_run():
    read = program(b"cos\nsystem\n(S'false'\ntR.")
    assert read.names == {"os.system": 0} and read.calls == {"os.system"} and not read.error


@pytest.mark.parametrize("protocol", range(6))
def test_names_are_found_in_every_protocol(protocol):
    words = pickle.dumps([np.dtype, pickle.loads, {"a": (1, 2.0, b"x", None, True, {3})}], protocol)
    read = program(words)
    assert {name.rpartition(".")[2] for name in read.names} >= {"dtype"}
    assert not read.error and not read.hidden and read.end == len(words)


def test_storages_are_read_with_type_place_and_length():
    held = io.BytesIO()
    torch.save({"a": torch.zeros(3, 4), "b": torch.zeros(5, dtype=torch.int64)}, held)
    with zipfile.ZipFile(held) as archive:
        read = program(archive.read("archive/data.pkl"))
    assert read.storages == [Storage("float32", "0", 12), Storage("int64", "1", 5)]
    assert not [name for name in read.names if not ALLOWED.fullmatch(name)]


def test_the_allowed_names_are_those_of_the_safe_loader():
    from torch._weights_only_unpickler import _get_allowed_globals

    theirs = set(_get_allowed_globals())
    assert not {name for name in theirs if not ALLOWED.fullmatch(name)}, "torch allows more"
    for name in ("os.system", "torch.load", "torch.hub.load", "torch._utils.exec", "builtins.eval",
                 "torch.FloatStorage.x", "collections.OrderedDict.__class__"):  # fmt: skip
        assert not ALLOWED.fullmatch(name), name


@pytest.mark.parametrize(
    "kind", ["float16", "float32", "float64", "bfloat16", "float8_e5m2", "float8_e4m3"]
)
def test_values_that_are_not_finite_are_counted_across_pieces(kind):
    name = {"float8_e4m3": "float8_e4m3fn"}.get(kind, kind)
    values = torch.tensor([1.0, float("nan"), -2.0, float("-inf"), 0.0, 3.5, float("nan")])
    expected = int((~values.to(getattr(torch, name)).float().isfinite()).sum())
    words = values.to(getattr(torch, name)).view(torch.uint8).numpy().tobytes()
    pieces = [words[i : i + 3] for i in range(0, len(words), 3)]
    assert nonfinite(pieces, kind) == expected >= 2


FINE = ["s0", "Symbol('s31', positive=True, integer=True)", "Integer(4)", "2*s0 + 1", "True",
        "Mul(Integer(2), Add(Symbol('u0', integer=True), Integer(-1)))", "Pow(s0, Integer(2))",
        "FloorDiv(Symbol('s0'), 2)", "Eq(s0, 3)", "s0 <= 5",
        "Float('1.5', precision=53)"]  # fmt: skip
CODE = ["__import__('os')", "exec('x')", "s0.__class__", "[x for x in s0]", "lambda: 1", "9**9",
        "Symbol('os.system(1)')", "open", "(s0).real", "Integer('__import__(1)')", "f'{s0}'", "",
        "Pow(9, 1000000)", "Pow(9, Pow(9, 9))", "s0 if s0 else 1", "s0[0]", "a\nb", ["s0"], None,
        "1e999", "Symbol(*s0)", "(s0 := 1)"]  # fmt: skip


def test_expressions_are_arithmetic_or_refused():
    assert [words for words in FINE if objection(words)] == []
    assert [words for words in CODE if not objection(words)] == []


def test_the_header_of_safetensors_is_held_against_the_file(tmp_path):
    path = tmp_path / "m.bin"
    save_file({"a": torch.ones(4)}, path, {"note": "<script>alert(1)</script>\x1b"})
    report = inspect_file(path)
    assert report.format == "safetensors" and report.answer == "clean"
    assert [found.severity for found in report.findings] == ["note"]
    header = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 15]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 16)
    assert "needs 16 bytes, found 15" in inspect_file(path).of("danger")[0].what


def test_a_name_says_nothing(tmp_path):
    path = tmp_path / "model.safetensors"
    torch.save({"a": torch.ones(2)}, path)
    assert inspect_file(path).format == "torch"
    path.write_bytes(b"import os\nos.system('x')\n")
    report = inspect_file(path)
    assert report.format == "unknown" and report.answer == "cannot judge" and report.unseen


def test_what_is_no_file_is_an_error(tmp_path):
    (tmp_path / "empty").touch()
    for place, words in (("nowhere", "no such file"), (".", "a folder"), ("empty", "an empty one")):
        with pytest.raises(DataError, match=words):
            inspect_file(tmp_path / place)


def test_many_notes_do_not_hide_a_danger():
    log = Log()
    for number in range(3 * KEPT):
        log.note(f"{number}")
    log.danger("at last")
    found = log.ended()
    assert (
        found[0].what == "at last" and found[-1].what == f"{2 * KEPT} more of this kind were found"
    )
    assert len(found) == KEPT + 2


def test_limits_end_in_a_finding_and_not_in_silence(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({f"{n}": torch.ones(1) for n in range(50)}, path)
    assert inspect_file(path).answer == "clean"
    report = inspect_file(path, limits=FileLimits(opcodes=100))
    assert "more than 100 opcodes" in report.of("warning")[0].what
    assert inspect_file(path, limits=FileLimits(pickle=100)).answer == "cannot judge"
    assert inspect_file(path, limits=FileLimits(members=3)).answer == "flagged"


def test_without_its_library_a_graph_is_not_called_clean(tmp_path, monkeypatch):
    path = tmp_path / "m"
    path.write_bytes(b"\x08\x07\x3a\x00\x42\x00")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    report = inspect_file(path)
    assert report.format == "onnx" and report.answer == "cannot judge"
    assert "pip install 'mithridate[onnx]'" in report.findings[0].todo


def test_a_second_opinion_is_asked_where_there_is_one(tmp_path, monkeypatch):
    for name in ("picklescan", "picklescan.scanner"):
        module = types.ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.scan_file_path = lambda path: types.SimpleNamespace(infected_files=1)
        monkeypatch.setitem(sys.modules, name, module)
    path = tmp_path / "m"
    path.write_bytes(pickle.dumps([1]))
    assert inspect_file(path).of("danger")[0].what == "picklescan calls the file infected"
