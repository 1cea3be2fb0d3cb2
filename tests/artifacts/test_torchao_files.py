"""Checkpoints of torchao: read as the floats that they stand for, and named as what they are."""

import copy
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from mithridate.artifacts.inspect import inspect_file
from mithridate.artifacts.opening import load_into, open_weights
from mithridate.artifacts.torchao_weights import dequantise
from mithridate.core.errors import DataError, UnsafeData

ao = pytest.importorskip("torchao.quantization")
support = pytest.importorskip("torchao.prototype.safetensors.safetensors_support")

KINDS = {
    "int8": lambda: ao.Int8WeightOnlyConfig(),
    "int8 of activations, too": lambda: ao.Int8DynamicActivationInt8WeightConfig(),
    "int8 by rows": lambda: ao.IntxWeightOnlyConfig(
        weight_dtype=torch.int8, granularity=ao.PerAxis(0)
    ),
    "int4 by groups": lambda: ao.IntxWeightOnlyConfig(
        weight_dtype=torch.int4, granularity=ao.PerGroup(32)
    ),
    "float8": lambda: ao.Float8WeightOnlyConfig(),
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 10)).eval()


@pytest.fixture(scope="module", params=KINDS)
def made(request):
    """A network as torchao holds it, and the weights that it stands for."""
    quantised = network()
    ao.quantize_(quantised, KINDS[request.param]())
    weights = {
        name: value.dequantize() if type(value.data) is not torch.Tensor else value
        for name, value in quantised.state_dict().items()
    }
    return quantised, weights


@pytest.mark.parametrize("form", ["zip", "old", "part", "safetensors"])
def test_weights_are_what_torchao_makes_of_them(made, form, tmp_path):
    quantised, weights = made
    path = tmp_path / "m"
    if form == "safetensors":
        flat, told = support.flatten_tensor_state_dict(quantised.state_dict())
        save_file(flat, path, told)
    else:
        whole = quantised.state_dict()
        torch.save({"net": whole, "epoch": 1} if form == "part" else whole, path,
                   _use_new_zipfile_serialization=form != "old")  # fmt: skip
    report = inspect_file(path)
    assert report.answer == "clean", report.findings
    if form != "safetensors":
        assert any("Tensor of torchao" in found.what for found in report.findings)
    found = open_weights(path)
    assert found.keys() == weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(found[name], value.float())
    twin, batch = load_into(network(), found), torch.randn(32, 64)
    with torch.no_grad():
        assert (twin(batch).argmax(1) == quantised(batch).argmax(1)).float().mean() > 0.9


def test_an_exported_program_of_torchao_is_told_of_without_untruths(tmp_path):
    model = network()
    ao.quantize_(model, KINDS["int4 by groups"]())
    torch.export.save(torch.export.export(model, (torch.zeros(2, 64),)), tmp_path / "m.pt2")
    report = inspect_file(tmp_path / "m.pt2", code=True)
    assert report.answer == "clean", report.findings
    told = " ".join(found.what for found in report.findings)
    assert "operator of torchao" in told and "Tensor of torchao" in told
    assert "not looked into" not in told and "does not bring" not in told


PARTS = {"qdata": torch.ones(4, 8, dtype=torch.int8), "scale": torch.ones(4, 2),
         "zero_point": torch.zeros(4, 2, dtype=torch.int8), "block_size": [1, 4]}  # fmt: skip


@pytest.mark.parametrize("change, why", [
    ({"qdata": None}, "expected qdata and scale"),
    ({"scale": torch.ones(3)}, "expected 8 scales"),
    ({"zero_point": torch.ones(9)}, "expected 8 scales or zeros, found 9"),
    ({"block_size": [1, 3]}, "do not divide"),
    ({"block_size": [1, 0]}, "do not divide"),
    ({"block_size": [4]}, "do not divide"),
    ({"block_size": "x"}, "do not divide"),
    ({"act_pre_scale": torch.ones(1)}, "scales beforehand"),
])  # fmt: skip
def test_parts_that_do_not_fit_are_named(change, why):
    assert torch.equal(dequantise("Int8Tensor", PARTS, "w"), torch.ones(4, 8))
    with pytest.raises(DataError, match=why):
        dequantise("Int8Tensor", {**PARTS, **change}, "w")


def test_what_is_packed_for_a_kernel_is_named_and_not_read(tmp_path):
    with pytest.raises(DataError, match="Int4Tensor of torchao, packed for its own kernels"):
        dequantise("Int4Tensor", PARTS, "w")
    model = network()
    ao.quantize_(model, KINDS["int8"]())
    flat, told = support.flatten_tensor_state_dict(model.state_dict())
    told["1.weight"] = told["1.weight"].replace("Int8Tensor", "Int4PreshuffledTensor")
    save_file(flat, tmp_path / "m", told)
    with pytest.raises(DataError, match=r"'1\.weight' is a Int4PreshuffledTensor"):
        open_weights(tmp_path / "m")


@pytest.mark.parametrize("words", ["{", "[1]", "null", '{"_type": 1}', '{"_type": "Int8Tensor"}',
    '{"_type": "Int8Tensor", "_data": {}, "_tensor_data_names": ["nowhere"]}',
    '{"_type": "Int8Tensor", "_data": [], "_tensor_data_names": []}', "[" * 50_000])  # fmt: skip
def test_metadata_of_another_kind_change_nothing(words, tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "m", {"1.weight": words})
    assert list(open_weights(tmp_path / "m")) == ["w"]


class Call:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


def test_other_names_of_torchao_stay_a_danger(tmp_path):
    """Only classes of tensors and of their settings are plain; a function of the library is not."""
    from torchao.utils import get_available_devices

    torch.save({"w": torch.ones(1), "x": Call(get_available_devices, ())}, tmp_path / "m.pt")
    assert inspect_file(tmp_path / "m.pt").of("danger")
    with pytest.raises(UnsafeData):
        open_weights(tmp_path / "m.pt")


def test_a_weight_that_reaches_beyond_the_file_is_refused(tmp_path):
    model = network()
    ao.quantize_(model, KINDS["int8"]())
    state = copy.deepcopy(model.state_dict())
    state["1.weight"].qdata = torch.ones(1, dtype=torch.int8).expand(1 << 30, 64)
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(UnsafeData, match="larger than what the file holds"):
        open_weights(tmp_path / "m.pt")


def test_the_metadata_of_torchao_are_as_they_were_when_this_was_written(tmp_path):
    """Where this fails, torchao writes in another way, and what reads it has to learn that."""
    model = network()
    ao.quantize_(model, KINDS["int8"]())
    flat, told = support.flatten_tensor_state_dict(model.state_dict())
    save_file(flat, tmp_path / "m", told)
    with safe_open(tmp_path / "m", "pt") as file:
        note = json.loads(file.metadata()["1.weight"])
    assert note["_type"] == "Int8Tensor" and note["_data"]["block_size"] == [1, 64]
    assert set(load_file(tmp_path / "m")) >= {"1._weight_qdata", "1._weight_scale", "1.bias"}


CALLED = b"\x80\x02c__builtin__\ngetattr\nq\x00"
TAKEN = b"ctorchao.quantization.quant_primitives\nMappingType\nX\x09\x00\x00\x00SYMMETRIC"


@pytest.mark.parametrize(
    "program, answer",
    [
        (CALLED + TAKEN + b"\x86R.", "clean"),  # as Python 3.11.0 to 3.11.3 writes a member
        (CALLED + TAKEN + b"\x86R0h\x00" + TAKEN + b"\x86R.", "clean"),
        (CALLED + TAKEN + b"\x86R0h\x00.", "flagged"),  # handed on as a value, too
        (CALLED + TAKEN.replace(b"SYMMETRIC", b"__bases__") + b"\x86R.", "flagged"),
        (CALLED + TAKEN.replace(b"MappingType", b"quantization") + b"\x86R.", "flagged"),
        (CALLED + b"ccollections\nOrderedDict\nX\x09\x00\x00\x00SYMMETRIC\x86R.", "flagged"),
    ],
)
def test_a_member_of_a_known_enumeration_may_be_taken_by_its_name(program, answer, tmp_path):
    path = tmp_path / "settings.pkl"
    path.write_bytes(program)
    report = inspect_file(path)
    assert report.answer == answer, report.findings
