"""Weights come out of every format as they went in, and out of a program only on request."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mithridate.artifacts import jail
from mithridate.artifacts.findings import FileLimits
from mithridate.artifacts.opening import load_into, open_weights, strip_prefixes
from mithridate.core.errors import DataError, MethodError, UnsafeData


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).eval()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("kind", ["safetensors", "pt", "old pt", "checkpoint", "npz"])
def test_weights_come_out_as_they_went_in(kind, model, tmp_path):
    path, weights = tmp_path / "file", model.state_dict()
    if kind == "safetensors":
        save_file(weights, path)
    elif kind == "npz":
        with path.open("wb") as file:
            np.savez(file, **{k: v.numpy() for k, v in weights.items()})
    else:
        value = {"state_dict": weights, "epoch": 1} if kind == "checkpoint" else weights
        torch.save(value, path, _use_new_zipfile_serialization=kind != "old pt")
    assert same(open_weights(path), dict(weights))


def test_hdf5_gives_its_arrays_by_path(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "file", "w") as file:
        file["dense/kernel:0"] = np.arange(6, dtype="f4").reshape(2, 3)
        file["alias"] = h5py.SoftLink("/dense")
    found = open_weights(tmp_path / "file")
    assert list(found) == ["dense/kernel:0"] and found["dense/kernel:0"].tolist()[1] == [3, 4, 5]


def test_programs_are_opened_on_request_and_elsewhere(model, tmp_path, monkeypatch):
    program = torch.export.export(model, (torch.zeros(2, 4),))
    torch.export.save(program, tmp_path / "m.pt2")
    torch.jit.trace(model, torch.zeros(2, 4)).save(str(tmp_path / "m.pt"))
    for name in ("m.pt2", "m.pt"):
        with pytest.raises(UnsafeData, match=r"program.*open_weights\(path, code=True\)"):
            open_weights(tmp_path / name)
    refuse = pytest.fail
    monkeypatch.setattr(torch.jit, "load", refuse)
    monkeypatch.setattr(torch.export, "load", refuse)
    for name in ("m.pt2", "m.pt"):
        assert same(open_weights(tmp_path / name, code=True), dict(model.state_dict()))


JOB = """
import os, resource, socket
def prepare(): pass
def job(file):
    done = []
    for name, act in {"open": lambda: open("/dev/null"), "socket": socket.socket,
                      "memory": lambda: bytearray(2 << 30)}.items():
        try: act(); done.append(name)
        except (OSError, MemoryError): pass
    print("noise")
    return repr(done).encode() + file.read()
def long(file):
    return b"x" * (80 << 20)
def endless(file):
    while True: pass
def broken(file):
    raise ValueError("why it broke")
"""


def test_the_limited_process_can_open_nothing_and_ends(tmp_path, monkeypatch):
    (tmp_path / "trial.py").write_text(JOB)
    start = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); " + jail.START
    names = {name: f"trial:{name}" for name in ("job", "long", "endless", "broken")}
    monkeypatch.setattr(jail, "START", f"{start}; from mithridate.artifacts import jail; "
                        f"jail.JOBS.update({names!r})")  # fmt: skip
    (tmp_path / "in").write_bytes(b"!")
    limits = FileLimits(memory=1 << 30, seconds=1)
    with (tmp_path / "in").open("rb") as file:
        assert jail.run_limited("job", file, 1, limits) == b"[]!"
        for name, why in (("endless", "SIG"), ("broken", "why it broke"), ("long", "")):
            with pytest.raises(DataError, match=why):
                jail.run_limited(name, file, 1, limits)


def test_what_is_dangerous_is_refused_with_its_reason(tmp_path):
    path = tmp_path / "m.pt"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(UnsafeData, match=r"calls torch\.nn\.modules\.linear\.Linear"):
        open_weights(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DataError, match="found neither"):
        open_weights(path)


def test_a_tensor_larger_than_the_file_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1).expand(1 << 40)}, tmp_path / "m.pt")
    with pytest.raises(UnsafeData, match="larger than what the file holds"):
        open_weights(tmp_path / "m.pt")
    torch.save([torch.zeros(1)], tmp_path / "m.pt")
    with pytest.raises(DataError, match="tensors by name"):
        open_weights(tmp_path / "m.pt")


def test_names_of_wrappers_are_no_obstacle(model):
    weights = model.state_dict()
    wrapped = {f"module._orig_mod.{name}": value + 1 for name, value in weights.items()}
    assert strip_prefixes(wrapped).keys() == weights.keys()
    mixed = {"module.a": torch.ones(1), "b": torch.ones(1)}
    assert strip_prefixes(mixed).keys() == mixed.keys()
    fresh = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    assert torch.equal(load_into(fresh, wrapped)[0].weight, weights["0.weight"] + 1)
    own = nn.ModuleDict({"model": nn.Linear(2, 2)})
    assert load_into(own, own.state_dict()) is own, "a prefix that the network itself has"
    with pytest.raises(MethodError, match="do not fit"):
        load_into(nn.Linear(2, 2), json.loads("{}"))
