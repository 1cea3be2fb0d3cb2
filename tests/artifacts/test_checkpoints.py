"""Checkpoints as training scripts leave them: what fits is opened, or the parts are named."""

import argparse
import datetime
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_model
from torch import nn

from mithridate.artifacts.inspect import inspect_file
from mithridate.artifacts.opening import load_into, load_part, open_parts, open_weights
from mithridate.core.errors import DataError, MethodError, UnsafeData


def build(seed=0, classes=10):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, classes),
    )  # fmt: skip


NET = build(1)
WEIGHTS = NET.state_dict()
OPTIMISER = torch.optim.Adam(NET.parameters())
OPTIMISER.zero_grad()
NET(torch.ones(1, 1, 8, 8)).sum().backward()
OPTIMISER.step()
WEIGHTS = NET.state_dict()


def under(prefix, weights=WEIGHTS):
    return OrderedDict((prefix + name, value) for name, value in weights.items())


ONE_FITS = {
    "netC": {"netC": WEIGHTS, "optimizerC": OPTIMISER.state_dict(), "acc": torch.tensor(0.99)},
    "netC and netG": {"netC": WEIGHTS, "netG": build(2, 4).state_dict()},
    "ema": {"epoch": 3, "ema": WEIGHTS, "updates": 10},
    "ema_state_dict": {"ema_state_dict": WEIGHTS},
    "params": {"params": WEIGHTS},
    "classifier": {"classifier": WEIGHTS, "epoch": 2},
    "teacher": {"teacher": under("module.")},
    "two levels": {"model": {"state_dict": WEIGHTS}, "epoch": 1},
    "lightning": {"state_dict": {**under("model."), "criterion.pos_weight": torch.ones(10)}},
    "lightning of one's own layers": {**WEIGHTS, "criterion.weight": torch.ones(10)},
    "extra state": OrderedDict([*WEIGHTS.items(), ("1._extra_state", None)]),
    "averaged": {**under("module."), "n_averaged": torch.tensor(3)},
    "wrappers": under("module._orig_mod."),
    "wrappers and a foreign key": {**under("_orig_mod.module."), "step": torch.tensor(3)},
    "numbers beside": {**WEIGHTS, "epoch": 3},
    "numpy scalar": {"epoch": 3, "best_acc": np.float64(0.91), "state_dict": WEIGHTS},
    "numpy array": {"history": np.arange(4), "state_dict": WEIGHTS},
    "namespace": {"state_dict": WEIGHTS, "args": argparse.Namespace(lr=0.1, out=Path("here"))},
    "date": {"state_dict": WEIGHTS, "when": datetime.datetime(2026, 1, 2)},
    "the same twice": {"model": WEIGHTS, "best": WEIGHTS},
    "without counters": {n: v for n, v in WEIGHTS.items() if "num_batches" not in n},
}


@pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("kind", ONE_FITS)
def test_the_part_that_fits_is_opened(kind, new, tmp_path):
    torch.save(ONE_FITS[kind], tmp_path / "m.pt", _use_new_zipfile_serialization=new)
    made = load_part(build(5), open_parts(tmp_path / "m.pt"))
    for name, value in WEIGHTS.items():
        if "num_batches" not in name:
            assert torch.equal(made.state_dict()[name], value)


TWO_FIT = {
    "student and teacher": ({"state_dict": {**under("student."),
                            **under("teacher.", build(3).state_dict())}}, "teacher"),
    "model and its average": ({"model": WEIGHTS, "ema": build(3).state_dict()}, "ema"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TWO_FIT)
def test_of_several_that_fit_one_is_chosen_by_name(kind, tmp_path):
    whole, part = TWO_FIT[kind]
    torch.save(whole, tmp_path / "m.pt")
    parts = open_parts(tmp_path / "m.pt")
    with pytest.raises(MethodError, match=rf"several parts fit .*{part}.*part=NAME"):
        load_part(build(), parts)
    made = load_part(build(), parts, part)
    assert torch.equal(made[0].weight, build(3)[0].weight)


def test_where_none_fits_the_parts_are_named(tmp_path):
    torch.save(ONE_FITS["netC and netG"], tmp_path / "m.pt")
    parts = open_parts(tmp_path / "m.pt")
    with pytest.raises(MethodError, match=r"in any of the parts 'netC' \(9 tensors\), 'netG'"):
        load_part(build(classes=3), parts)
    with pytest.raises(MethodError, match="size mismatch"):
        load_part(build(), parts, "netG")
    with pytest.raises(DataError, match=r"'netC' \(9 tensors\), 'netG' \(9 tensors\); choose one"):
        open_weights(tmp_path / "m.pt")
    assert len(open_weights(tmp_path / "m.pt", part="netG")) == 9
    with pytest.raises(DataError, match="'netD'"):
        open_weights(tmp_path / "m.pt", part="netD")


def test_a_network_with_fewer_layers_than_the_file_does_not_fit():
    """A head that is left out would make another network than the one that was trained."""
    more = {**WEIGHTS, "6.weight": torch.ones(3, 10), "6.bias": torch.ones(3)}
    for tensors in (more, under("model.", more)):
        with pytest.raises(MethodError, match="do not fit"):
            load_into(build(), tensors)


def test_states_of_optimisers_are_no_parts(tmp_path):
    torch.save(ONE_FITS["netC"], tmp_path / "m.pt")
    assert list(open_parts(tmp_path / "m.pt")) == ["", "netC"]


def test_tied_weights_that_the_writer_left_out_are_put_back(tmp_path):
    torch.manual_seed(0)
    first = nn.Linear(4, 4)
    net = nn.Sequential(first, nn.ReLU(), first)
    save_model(net, tmp_path / "m.safetensors")
    made = load_into(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)),
                  open_weights(tmp_path / "m.safetensors"))  # fmt: skip
    assert torch.equal(made[0].weight, first.weight) and torch.equal(made[2].weight, first.weight)


@pytest.mark.parametrize("kind", ["numpy scalar", "numpy array", "namespace", "date"])
@pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])
def test_plain_things_beside_the_weights_are_a_warning_and_no_danger(kind, new, tmp_path):
    torch.save(ONE_FITS[kind], tmp_path / "m.pt", _use_new_zipfile_serialization=new)
    report = inspect_file(tmp_path / "m.pt")
    assert not report.of("danger")
    plain = "plain arrays" if "numpy" in kind else "plain settings"
    assert any(plain in finding.what for finding in report.of("warning"))
    assert report.answer == "clean"


class Bomb:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("new", [True, False], ids=["zip", "old"])
@pytest.mark.parametrize("where", ["beside", "key", "inside a scalar"])
def test_no_name_is_called_however_it_hides(where, new, tmp_path):
    """The mend for plain scalars must not let anything else through."""
    bomb = Bomb(Path.touch, (tmp_path / "touched",))
    scalar = np.float64(1).__reduce__()
    whole = {
        "beside": {"state_dict": WEIGHTS, "x": bomb},
        "key": {"state_dict": WEIGHTS, "x": [(bomb, 1)]},
        "inside a scalar": {"state_dict": WEIGHTS, "x": Bomb(scalar[0], (bomb, b"1"))},
    }[where]
    torch.save(whole, tmp_path / "m.pt", _use_new_zipfile_serialization=new)
    with pytest.raises(UnsafeData):
        open_weights(tmp_path / "m.pt")
    assert not (tmp_path / "touched").exists()


def test_settings_that_name_code_stay_a_danger(tmp_path):
    for held in (argparse.ArgumentParser, build, nn.ReLU()):
        torch.save({"state_dict": WEIGHTS, "x": Bomb(argparse.Namespace, (held,))},
                   tmp_path / "m.pt")  # fmt: skip
        with pytest.raises(UnsafeData):
            open_weights(tmp_path / "m.pt")


def changed(path, old, new):
    """Change bytes of an old file, where nothing is checked by a sum."""
    words = path.read_bytes()
    assert words.count(old) >= 1 and len(old) == len(new)
    path.write_bytes(words.replace(old, new, 1))


def test_views_stay_inside_of_their_storages(tmp_path):
    path = tmp_path / "m.pt"
    torch.save({"a": torch.arange(300.0)[77:]}, path, _use_new_zipfile_serialization=False)
    assert open_weights(path)["a"].tolist() == list(range(77, 300))
    changed(path, b"K\x4d", b"K\x4e")
    with pytest.raises(UnsafeData, match="outside of what the file holds"):
        open_weights(path)


def test_views_of_one_storage_and_their_order_are_kept(tmp_path):
    whole = torch.arange(24.0).view(4, 6)
    torch.save({"a": whole, "b": whole.t(), "c": whole[1:, ::2], "d": whole[:0]}, tmp_path / "m.pt")
    found = open_weights(tmp_path / "m.pt")
    assert torch.equal(found["b"], whole.t()) and torch.equal(found["c"], whole[1:, ::2])
    assert found["d"].shape == (0, 6)
    found["a"][0, 0] = 9
    assert found["b"][0, 0] == 9


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "uint16", "bfloat16", "bool",
                                   "int64"])  # fmt: skip
def test_every_type_comes_out_as_it_went_in(dtype, tmp_path):
    value = torch.tensor([0.0, 1.0, 2.0]).to(getattr(torch, dtype))
    for new in (True, False):
        torch.save({"a": value}, tmp_path / "m.pt", _use_new_zipfile_serialization=new)
        found = open_weights(tmp_path / "m.pt")["a"]
        assert found.dtype == value.dtype and found.float().tolist() == value.float().tolist()


def test_broken_files_end_in_a_sentence(tmp_path):
    path = tmp_path / "m.pt"
    torch.save(ONE_FITS["netC"], path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for cut in (len(whole) - 9, len(whole) - 300, 700):
        path.write_bytes(whole[:cut])
        with pytest.raises((DataError, UnsafeData)):
            open_weights(path)
    path.write_bytes(whole[:-300].replace(struct.pack("<q", 72), struct.pack("<q", 1 << 40)))
    with pytest.raises((DataError, UnsafeData)):
        open_weights(path)
    path.write_bytes(pickle.dumps({"state_dict": {"a": [1, 2]}}))
    with pytest.raises(DataError):
        open_weights(path)
