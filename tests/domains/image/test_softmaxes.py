"""Networks that end in a softmax: their logits are found, wherever the softmax stands."""

import copy

import pytest
import torch
from torch import nn

from mithridate.artifacts.precision import deploy
from mithridate.core.data import dataset
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.softmaxes import before_softmax

IMAGES = torch.randint(0, 256, (24, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
DATA = dataset(IMAGES, torch.arange(24) % 3)
NETS = """
import torch
from torch import nn
import torch.nn.functional as F

class Net(nn.Module):
    def __init__(self, classes, end):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, classes))
        self.layer = nn.Softmax(dim=1)
        self.end = end

    def forward(self, x):
        return ENDS[self.end](self, self.body(x))

ENDS = {
    "none": lambda net, z: z,
    "layer": lambda net, z: net.layer(z),
    "function": lambda net, z: F.softmax(z, dim=1),
    "by_name": lambda net, z: F.softmax(input=z, dim=-1),
    "torch": lambda net, z: torch.softmax(z, 1),
    "method": lambda net, z: z.softmax(-1),
    "log": lambda net, z: F.log_softmax(z, 1),
    "behind": lambda net, z: torch.softmax(z, 1) * 2,
    "gate": lambda net, z: z * torch.softmax(z, 1),
}

none = lambda classes: Net(classes, "none")
layer = lambda classes: Net(classes, "layer")
function = lambda classes: Net(classes, "function")
by_name = lambda classes: Net(classes, "by_name")
torch_ = lambda classes: Net(classes, "torch")
method = lambda classes: Net(classes, "method")
log = lambda classes: Net(classes, "log")
behind = lambda classes: Net(classes, "behind")
gate = lambda classes: Net(classes, "gate")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Builds a network by how it ends; all have the same weights."""
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(NETS)
    return lambda end: (
        ImageDomain().network(DATA, f"python:{path}:{end}", stream(0, "network")).eval()
    )


@pytest.mark.parametrize("end", ["layer", "function", "by_name", "torch_", "method"])
def test_logits_are_found(end, made):
    network, plain = made(end), made("none")
    assert network.ends_in_softmax
    assert torch.equal(network(IMAGES), plain(IMAGES))
    torch.testing.assert_close(network.inner(IMAGES / 255), plain(IMAGES).softmax(1))
    assert torch.equal(copy.deepcopy(network)(IMAGES), plain(IMAGES))
    assert network.own().keys() == network.inner.state_dict().keys()
    network(IMAGES).sum().backward()
    assert network.inner.body[1].weight.grad is not None


@pytest.mark.parametrize("end", ["none", "log", "behind", "gate"])
def test_what_ends_otherwise_stays_as_it_is(end, made):
    network = made(end)
    assert not network.ends_in_softmax
    assert torch.equal(network(IMAGES), network.inner(IMAGES / 255))
    assert before_softmax(network.inner, IMAGES / 255) is None


def test_shares_of_logarithms_have_the_margins_of_logits(made):
    """So they are logits already, but for a summand that all classes share."""
    gap = made("log")(IMAGES) - made("none")(IMAGES)
    torch.testing.assert_close(gap, gap[:, :1].expand_as(gap))


@pytest.mark.parametrize("precision", ["int8-static", "int8-dynamic", "int8-weights"])
def test_they_are_deployed_in_every_precision(precision, made):
    place = deploy(made("function"), precision, IMAGES)
    assert place.check(IMAGES).same >= 0.95
    shares = place.model(IMAGES)
    assert not torch.allclose(shares.sum(1), torch.ones(len(IMAGES)))


def test_an_onnx_graph_gives_its_logits(made, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from mithridate.artifacts.onnx import Interpreter, Session, export_onnx, read, without_softmax

    class Floats(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)

    batch = torch.rand(8, 1, 8, 8)
    shares = read(export_onnx(Floats(made("function").inner), batch, tmp_path / "s.onnx"))
    plain = read(export_onnx(Floats(made("none").inner), batch, tmp_path / "p.onnx"))
    for kind in (Session, Interpreter):
        found, wanted = kind(without_softmax(shares))(batch), kind(plain)(batch)
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(kind(shares)(batch), wanted.softmax(1))
    assert [node.op_type for node in shares.graph.node][-1] == "Softmax", "it stays as it was"
    assert without_softmax(plain) is plain
    twice = onnx.ModelProto.FromString(shares.SerializeToString())
    twice.graph.node.append(onnx.helper.make_node("Neg", [shares.graph.output[0].name], ["other"]))
    assert without_softmax(twice) is twice, "who uses the shares elsewhere keeps them"
    rows = onnx.ModelProto.FromString(shares.SerializeToString())
    rows.graph.node[-1].attribute[0].i = 0
    assert without_softmax(rows) is rows, "a softmax over the examples is none over the classes"
