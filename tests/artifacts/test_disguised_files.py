"""Files that one reader takes for tensors and another for a program, or that wear a reader out."""

import io
import pickle
import struct
import time
import zipfile

import pytest
import torch

from mithridate.artifacts import jail
from mithridate.artifacts.archives import Archive
from mithridate.artifacts.findings import FileLimits, Log
from mithridate.artifacts.inspect import _look_inside_jail, inspect_file
from mithridate.artifacts.opening import open_weights
from mithridate.artifacts.pickles import disassemble
from mithridate.core.errors import UnsafeData

CALL = b"cos\nsystem\n(S'false'\ntR."


def archive(path, program, **members):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("m/data.pkl", program)
        for name, words in members.items():
            file.writestr(f"m/{name}", words)
    return path


@pytest.mark.parametrize("user_block", [CALL, b"\x80\x02N.", b"words"])
def test_hdf5_behind_something_else_is_a_danger(user_block, tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m", "w", userblock_size=512) as file:
        file["a"] = torch.ones(2).numpy()
    assert not inspect_file(tmp_path / "m").of("note")
    with (tmp_path / "m").open("r+b") as file:
        file.write(user_block)
    report = inspect_file(tmp_path / "m")
    assert report.format == "hdf5"
    assert any("else than HDF5" in found.what for found in report.of("danger"))
    assert any("a pickle" in found.what for found in report.of("danger")) != (
        user_block == b"words"
    )
    with pytest.raises(UnsafeData):
        open_weights(tmp_path / "m")


@pytest.mark.parametrize("behind", [CALL, b"N.", b"cos\nsystem\n"])
def test_a_graph_that_is_a_pickle_as_well_is_a_danger(behind, tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    made = onnx.helper.make_model(graph, ir_version=10)
    made.ClearField("opset_import")
    real = made.SerializeToString()
    (tmp_path / "m").write_bytes(real)
    assert not inspect_file(tmp_path / "m").of("danger")
    # To a pickle: a mark, and bytes whose length is the next four; to ONNX: three small fields.
    head, skipped = b"(B\x08\x08\x28\0", 0x280808
    doc = bytes([0x32, 0x80 | skipped & 0x7F, 0x80 | skipped >> 7 & 0x7F,
                 0x80 | skipped >> 14 & 0x7F, skipped >> 21])  # fmt: skip
    before = b"x" * (skipped - len(real) - len(doc))
    rest = b"x" * (skipped - len(before) - len(behind))
    (tmp_path / "m").write_bytes(head + real + doc + before + behind + rest)
    report = inspect_file(tmp_path / "m")
    assert report.format == "onnx"
    assert any("a pickle" in found.what for found in report.of("danger"))


@pytest.mark.parametrize("length", [0x2E88, 0x8288, 0x5042])
def test_a_header_whose_length_spells_opcodes_is_no_disguise(length, tmp_path):
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(length)
    (tmp_path / "m").write_bytes(struct.pack("<Q", length) + header + bytes(4))
    assert inspect_file(tmp_path / "m").answer == "clean"


def test_tuples_that_hold_each_other_many_times_take_no_time():
    levels = b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x87"
                      for n in range(60))  # fmt: skip
    words = b"c__builtin__\nbytearray\n" + b"K\x02" + levels + b"\x85R."
    began = time.process_time()
    read = disassemble(io.BytesIO(words), len(words), Log())
    assert time.process_time() - began < 1
    assert not read.error and read.asked == 8


def test_what_calls_reserve_is_added_up(tmp_path):
    call = b"c__builtin__\nbytearray\nq\x00" + b"h\x00J\x00\x00\x10\x00\x85R0" * 2_000 + b"N."
    path = archive(tmp_path / "m.pt", call)
    assert inspect_file(path).of("danger")[0].what == "the pickle asks for 2,097,152,000 elements"
    copied = b"c__builtin__\nbytearray\nq\x00h\x00J\x00\x00\x10\x00\x85Rq\x01"
    copied += b"0h\x00h\x01\x85R" * 100 + b"."
    path = archive(tmp_path / "m.pt", copied)
    assert "elements" in inspect_file(path).of("danger")[0].what
    torch.save({"a": torch.ones(3), "b": b"x" * 3_000}, path)
    assert inspect_file(path).answer == "clean"


@pytest.mark.parametrize("limits", [FileLimits(opcodes=100), FileLimits(pickle=100)])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_was_not_read_to_its_end_is_not_opened(limits, zipped, tmp_path):
    path = tmp_path / "m.pt"
    torch.save({f"{'n' * 150}{n}": torch.ones(1) for n in range(50)}, path,
               _use_new_zipfile_serialization=zipped)  # fmt: skip
    assert len(open_weights(path)) == 50
    with pytest.raises(UnsafeData, match="read to its end"):
        open_weights(path, limits=limits)


def test_torch_is_asked_only_about_what_was_read(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("mithridate.artifacts.inspect.second_opinion", lambda *_: asked.append(1))
    path = archive(tmp_path / "m.pt", pickle.dumps({"a": 1}, 2))
    inspect_file(path)
    assert len(asked) == 1
    inspect_file(archive(path, CALL))
    inspect_file(archive(path, pickle.dumps(["x" * 200], 2)), limits=FileLimits(pickle=100))
    inspect_file(archive(path, b"N" * 300), limits=FileLimits(opcodes=100))
    assert len(asked) == 1


def test_a_bomb_behind_many_dangers_is_not_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "m", "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(60):
            file.writestr(f"../{number}", b"")
        file.writestr("m/data.pkl", bytes(8 << 20))
    monkeypatch.setattr(Archive, "chunks", lambda *_: pytest.fail("it was unpacked"))
    report = inspect_file(tmp_path / "m", limits=FileLimits(slack=1 << 20))
    assert len(report.of("danger")) == 51


def test_long_headers_are_read_once(tmp_path):
    """Forty thousand names with one of them twice, and a shape of so many axes."""
    names = "".join(f'"{number}":0,' for number in range(40_000))
    shape = "[" + "1000000007," * 40_000 + "1]"
    header = f'{{{names}"0":0,"a":{{"dtype":"F32","shape":{shape},"data_offsets":[0,4]}}}}'.encode()
    (tmp_path / "m").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    began = time.process_time()
    found = [each.what for each in inspect_file(tmp_path / "m").of("danger")]
    assert time.process_time() - began < 2
    assert "a name occurs twice, and readers take different ones" in found
    assert "the shape is absurd: 40001 axes" in found


@pytest.mark.parametrize("why", ["no Unix", "no package"])
def test_where_no_limited_process_can_look_nothing_is_said_against_a_file(
    why, tmp_path, monkeypatch
):
    (tmp_path / "m").write_bytes(b"\x08\x07\x3a\x00\x42\x00")
    if why == "no Unix":
        monkeypatch.setattr(jail.os, "name", "nt")
    else:
        hidden = f"{jail.START}; sys.modules['onnx'] = None"
        monkeypatch.setattr(jail, "START", hidden)
    found = Log()
    with (tmp_path / "m").open("rb") as file:
        _look_inside_jail("onnx", file, 6, tmp_path, found)
    monkeypatch.undo()
    assert [each.severity for each in found.findings] == ["unknown"]


def test_words_in_hdf5_are_said_to_be_unseen(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m", "w") as file:
        file["a"] = torch.ones(2).numpy()
        file["words"] = "payload"
    report = inspect_file(tmp_path / "m")
    assert report.answer == "cannot judge" and report.of("unknown")[0].where == "/words"
    assert list(open_weights(tmp_path / "m")) == ["a"]
