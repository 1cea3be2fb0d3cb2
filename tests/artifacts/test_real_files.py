"""Files as the libraries themselves write them: known types, no untrue danger, no silence."""

import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mithridate.artifacts.inspect import inspect_file
from mithridate.artifacts.opening import open_weights
from mithridate.artifacts.tensor_files import KINDS
from mithridate.artifacts.values import BITS
from mithridate.core.errors import DataError, UnsafeData

LAYERS = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense"}]}}


def keras_file(path, config, whole=True):
    """A file as Keras 2 writes it: names and the model are attributes of bytes."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        if config is not None:
            file.attrs["model_config"] = config
        file.attrs["keras_version"] = b"2.15.0"
        file.attrs["backend"] = b"tensorflow"
        group = file.create_group("model_weights") if whole else file
        group.attrs["layer_names"] = [b"dense"]
        dense = group.create_group("dense")
        dense.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        dense["dense/kernel:0"] = np.arange(6, dtype="f4").reshape(2, 3)
        dense["dense/bias:0"] = np.zeros(3, dtype="f4")


AS = {
    "bytes": lambda words: words.encode(),
    "words": lambda words: words,
    "fixed": lambda words: np.bytes_(words.encode()),
    "no letters of ascii": lambda words: words.replace("Dense", "Dénse").encode(),
}


@pytest.mark.parametrize("form", AS)
def test_an_ordinary_keras_file_is_clean_and_a_lambda_is_named(form, tmp_path):
    keras_file(tmp_path / "m.h5", AS[form](json.dumps(LAYERS)))
    report = inspect_file(tmp_path / "m.h5")
    assert (report.format, report.answer) == ("hdf5", "clean"), report.findings
    assert set(open_weights(tmp_path / "m.h5")) >= {"model_weights/dense/dense/kernel:0"}
    keras_file(tmp_path / "m.h5", AS[form](json.dumps(LAYERS).replace('"Sequ', '"Lambda", "Sequ')))
    danger = inspect_file(tmp_path / "m.h5").of("danger")
    assert [found.what for found in danger] == [
        "the model holds a Lambda layer: Keras would run its code"
    ]
    with pytest.raises(UnsafeData, match="Lambda"):
        open_weights(tmp_path / "m.h5")


@pytest.mark.parametrize("said", [True, False], ids=["weights alone", "whole model"])
def test_bfloat16_in_hdf5_is_read(said, tmp_path):
    """Keras writes it as two bytes of no type, with an attribute where it saves weights alone."""
    h5py = pytest.importorskip("h5py")
    values = torch.tensor([[1.0, -2.5], [3.0e5, 0.0]]).bfloat16()
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file.create_dataset("vars/0", data=values.view(torch.int16).numpy().view("V2"))
        file.create_dataset("vars/1", data=np.zeros(4, "V3"))
        if said:
            file["vars/0"].attrs["dtype"] = "bfloat16"
    found = open_weights(tmp_path / "m.weights.h5")
    assert list(found) == ["vars/0"] and torch.equal(found["vars/0"], values.float())
    report = inspect_file(tmp_path / "m.weights.h5")
    assert [f.where for f in report.findings] == ["/vars/1"], "what is no number is still said"
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        words = torch.tensor([1.0, float("nan")]).bfloat16().view(torch.int16).numpy().view("V2")
        file.create_dataset("vars/0", data=words)
    assert "1 values are NaN" in inspect_file(tmp_path / "m.weights.h5").findings[0].what


def test_every_type_that_safetensors_writes_is_known(tmp_path):
    from safetensors.torch import _TYPES

    assert set(_TYPES) <= set(KINDS) and set(KINDS.values()) <= set(BITS)
    for name, dtype in _TYPES.items():
        values = torch.zeros(4).to(dtype)
        save_file({"a": values}, tmp_path / "m.safetensors")
        assert inspect_file(tmp_path / "m.safetensors").answer == "clean", name
        assert open_weights(tmp_path / "m.safetensors")["a"].dtype == dtype


@pytest.mark.parametrize("name", ["float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_the_one_nan_of_a_type_is_found(name, tmp_path):
    values = torch.tensor([1.0, float("nan"), 0.0, -1.0]).to(getattr(torch, name))
    save_file({"a": values}, tmp_path / "m.safetensors")
    assert "1 values are NaN" in inspect_file(tmp_path / "m.safetensors").findings[0].what


def test_a_single_array_says_what_it_is(tmp_path):
    np.save(tmp_path / "numbers.npy", np.ones((2, 3), "f4"))
    report = inspect_file(tmp_path / "numbers.npy")
    assert (report.format, report.answer) == ("npy", "clean")
    assert report.findings[0].what.startswith("the file is one array, float32[2, 3], and no model")
    with pytest.raises(DataError, match="one array without a name"):
        open_weights(tmp_path / "numbers.npy")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    report = inspect_file(tmp_path / "objects.npy")
    assert report.of("danger")[0].what == "the array holds Python objects, which need pickle"
    np.save(tmp_path / "nan.npy", np.array([1.0, np.nan]))
    assert inspect_file(tmp_path / "nan.npy").of("warning")
    words = (tmp_path / "numbers.npy").read_bytes()
    for spoilt in (words + b"more", words[:-1], words[:20], words.replace(b"(2, 3)", b"(9, 9)")):
        (tmp_path / "spoilt.npy").write_bytes(spoilt)
        assert inspect_file(tmp_path / "spoilt.npy").answer == "flagged"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    model = nn.Sequential(nn.Linear(4, 3)).eval()
    torch.export.save(torch.export.export(model, (torch.zeros(2, 4),)), folder / "m.pt2")
    torch.jit.trace(model, torch.zeros(2, 4)).save(str(folder / "m.pt"))
    return folder


@pytest.mark.parametrize("name", ["m.pt2", "m.pt"])
def test_programs_of_both_kinds_follow_one_rule(name, programs):
    report = inspect_file(programs / name)
    assert report.answer == "flagged" and "is a program" in report.of("danger")[0].what
    assert "--code" in report.of("danger")[0].todo
    report = inspect_file(programs / name, code=True)
    assert report.answer == "clean" and report.findings[0].what.endswith("as expected")
    with pytest.raises(UnsafeData, match=r"a program, which is not opened\. Save the weights"):
        open_weights(programs / name)


def test_an_onnx_graph_is_no_file_of_weights_and_the_way_is_said(tmp_path):
    pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
    )  # fmt: skip
    (tmp_path / "m").write_bytes(helper.make_model(graph).SerializeToString())
    with pytest.raises(DataError, match="scan model and guard take it as it is"):
        open_weights(tmp_path / "m")


def test_a_header_with_a_type_of_nobodys_stays_a_warning(tmp_path):
    header = json.dumps({"a": {"dtype": "F5", "shape": [4], "data_offsets": [0, 4]}}).encode()
    words = struct.pack("<Q", len(header)) + header + b"\0" * 4
    (tmp_path / "m").write_bytes(words)
    assert "'F5' is unknown" in inspect_file(tmp_path / "m").of("warning")[0].what
