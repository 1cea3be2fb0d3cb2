"""Model files as people bring them, at the command line: opened, or refused in a sentence."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from cli.runs import inside, save_npz, shapes
from mithridate.cli.flags import as_flag
from mithridate.cli.groups import HowToCompute, WhichNetwork
from mithridate.cli.work.guard import read
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.spelling import spelt
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.pipelines import kept_network as weights
from mithridate.pipelines.population import Form

OWN = """
import torch

def build(classes):
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(16, classes))
"""
CHEAP = ("--scanners", "weight-statistics", "--level", 0.3, "--yes")


def built(seed=0):
    torch.manual_seed(seed)
    space = {}
    exec(OWN, space)
    return space["build"](3)


def trained(seed=0):
    """A network that tells the three kinds of images apart, which enter as x / 127.5 - 1."""
    net, (images, labels) = built(seed).train(), shapes(120, 1)
    step = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        loss = nn.functional.cross_entropy(net(images[:, None] / 127.5 - 1), labels)
        step.zero_grad()
        loss.backward()
        step.step()
    return net.eval()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Trusted examples and a function that builds a network; checkpoints of it in many forms."""
    folder = tmp_path_factory.mktemp("data")
    save_npz(folder / "trusted.npz", *shapes(90, 2))
    (folder / "nets.py").write_text(OWN)
    under = {f"module.{name}": value for name, value in trained().state_dict().items()}
    torch.save({"netC": under, "best_acc": 0.5}, folder / "netC.pt")
    two = {"student": built(1).state_dict(), "teacher": built(2).state_dict()}
    torch.save(two, folder / "two.pt")
    return folder


def network(data):
    return ("--network", f"python:{data / 'nets.py'}:build")


def scanned(data, file, out, *more):
    return inside("scan", "model", file, "--data", data / "trusted.npz", "--out", out, *CHEAP,
                  *more)  # fmt: skip


def test_a_part_that_fits_is_scanned_and_one_of_several_is_chosen(data, tmp_path):
    clean = tmp_path / "clean"
    clean.mkdir()
    for number, suffix in enumerate((".pth.tar", ".th", ".ckpt", ".bin")):
        torch.save({"netC": trained(number).state_dict()}, clean / f"{number}{suffix}")
    halves = ("--mean", "0.5", "--std", "0.5")
    wanted = ("--clean-models", clean, *network(data), *halves)
    done = scanned(data, data / "netC.pt", tmp_path / "out", *wanted)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads((tmp_path / "out" / "report.json").read_text())
    assert len(found["scanners"][0]["references"]) == 4, "files of every name are read"
    done = scanned(data, data / "two.pt", tmp_path / "out", *wanted)
    assert done.returncode == 2 and "'student', 'teacher'; choose one with --part" in done.stderr


def test_without_the_networks_name_the_way_out_is_said(data, tmp_path):
    done = scanned(data, data / "netC.pt", tmp_path / "out")
    assert done.returncode == 2 and "Missing key" not in done.stderr
    for words in ("--network python:FILE.py:FUNCTION", "--network timm:NAME", "none of our own"):
        assert words in done.stderr
    images = torch.zeros(4, 1, 12, 12, dtype=torch.uint8)
    some = dataset(images, torch.arange(4) % 3)
    ours = ImageDomain().network(some, "preact-resnet18:8", stream(0))
    torch.save({"net": ours.state_dict()}, tmp_path / "ours.pt")
    with pytest.raises(MethodError, match=r"preact-resnet18:8 fits\. Name it"):
        weights.load(tmp_path / "ours.pt", ImageDomain(), some, "", stream(0))


def test_another_encoding_is_told_in_a_sentence():
    form = Form("timm:resnet18", "fp32", 10, ((0.5,), (0.25,)))
    with spelt(as_flag):
        told = form.unlike(replace(form, encoding=((), ())))
    assert told == (
        "how inputs enter is by --mean 0.5 --std 0.25 here and as the network's library says "
        "(no --mean, no --std) there"
    )


def test_what_repair_writes_fits_the_users_own_network(data, tmp_path):
    done = inside(
        "repair", data / "netC.pt", "--trusted", data / "trusted.npz", "--out", tmp_path / "out",
        "--mean", "0.5", "--std", "0.5", "--repair", "fine-tuning", "--max-loss", 1, *network(data),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    path = tmp_path / "out" / "model.safetensors"
    plain, back = built(9), load_file(path)
    assert all(name.startswith("module.") for name in back), "the file has it so"
    plain.load_state_dict({n.removeprefix("module."): value for n, value in back.items()})
    images, _ = shapes(90, 2)
    some = dataset(images[:, None], torch.arange(90) % 3)
    again = weights.load(path, ImageDomain(), some, network(data)[1], stream(0)).eval()
    with torch.no_grad():  # how images enter is kept beside the weights
        wanted = plain.eval()((images[:, None] / 255 - 0.5) / 0.5)
        torch.testing.assert_close(again(images[:, None]), wanted)


@pytest.mark.parametrize("kind", ["timm", "huggingface"])
def test_networks_of_libraries_keep_the_names_of_their_weights(kind, tmp_path):
    some = dataset(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.arange(4) % 3)
    if kind == "timm":
        name = "timm:resnet10t"
        theirs = pytest.importorskip("timm").create_model("resnet10t", num_classes=3)
    else:
        transformers = pytest.importorskip("transformers")
        config = transformers.ResNetConfig(
            num_channels=3, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], num_labels=3,
            layer_type="basic",
        )  # fmt: skip
        theirs = transformers.ResNetForImageClassification(config)
        theirs.save_pretrained(tmp_path)
        halves = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        (tmp_path / "preprocessor_config.json").write_text(json.dumps(halves))
        name = f"huggingface:{tmp_path}"
    made = ImageDomain().network(some, name, stream(0))
    weights.save(made, tmp_path / "ours.safetensors", weights.Note())
    theirs.load_state_dict(load_file(tmp_path / "ours.safetensors"))
    again = weights.load(tmp_path / "ours.safetensors", ImageDomain(), some, name, stream(1))
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in made.state_dict().items())


def test_tied_weights_are_written_and_read_again(tmp_path):
    (tmp_path / "tied.py").write_text(
        "import torch\n\nclass Net(torch.nn.Module):\n    def __init__(self, classes):\n"
        "        super().__init__()\n        self.a = torch.nn.Linear(64, 64)\n"
        "        self.b = torch.nn.Linear(64, 64)\n        self.b.weight = self.a.weight\n"
        "        self.head = torch.nn.Linear(64, classes)\n    def forward(self, x):\n"
        "        return self.head(self.b(self.a(x.flatten(1))))\n"
    )
    some = dataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.arange(4) % 3)
    name = f"python:{tmp_path / 'tied.py'}:Net"
    made = ImageDomain().network(some, name, stream(0))
    weights.save(made, tmp_path / "m.safetensors", weights.Note())
    again = weights.load(tmp_path / "m.safetensors", ImageDomain(), some, name, stream(1))
    assert torch.equal(again.inner.b.weight, made.inner.a.weight)
    sys.modules.pop("mithridate_user_tied", None)


@pytest.mark.parametrize("told", [[[0.5], [0.0]], [[0.5], "x"], {"a": 1}, [[True], [1.0]],
                                  [[0.5, 0.5], [1.0]]])  # fmt: skip
def test_a_hostile_encoding_in_a_note_is_left_out(told, tmp_path):
    note = {"mithridate": json.dumps({"encoding": told})}
    save_file({"a": torch.zeros(1)}, tmp_path / "m.safetensors", metadata=note)
    assert weights.noted(tmp_path / "m.safetensors").encoding == ()


@pytest.fixture(scope="module")
def graph(data):
    pytest.importorskip("onnxruntime")
    from mithridate.artifacts.onnx import export_onnx

    class Bytes(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = trained()

        def forward(self, x):
            return self.inner(x)

    return export_onnx(Bytes(), torch.zeros(2, 1, 8, 8), data / "graph.onnx")


def test_an_onnx_file_is_guarded(data, graph, tmp_path):
    done = inside(
        "guard", graph, "--trusted", data / "trusted.npz", "--fit-only", tmp_path / "guard",
        "--mean", "0.5", "--std", "0.5", "--level", 0.2,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    guard, some = read(tmp_path / "guard", graph, WhichNetwork(), HowToCompute())
    assert len(guard.decide(some.inputs)) == len(some)
    few = replace(some, classes=some.classes[:2])
    with pytest.raises(MethodError, match="a logit for each of 2 classes, found 3"):
        weights.deployed(graph, ImageDomain(), few, "", stream(0))


def test_an_onnx_file_is_not_repaired_and_the_reason_is_said(data, graph, tmp_path):
    done = inside("repair", graph, "--trusted", data / "trusted.npz", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "repair the network that it was exported from" in done.stderr
