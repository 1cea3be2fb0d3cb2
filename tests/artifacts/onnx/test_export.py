"""Networks of the library written as files, quantised, and compared with what runs them."""

import pytest
import torch
from torch import nn

from mithridate.artifacts.onnx import Interpreter, Session, export_onnx, quantise_onnx, read
from mithridate.bench.metrics.evaluate import accuracy
from mithridate.core.errors import DataError, MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import features_of
from mithridate.core.quantisation import open_ranges
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.scanners.gradients import check_gradients

DOMAIN = ImageDomain(crop=0.0)
RECIPE = TrainingConfig(epochs=4, batch_size=64, learning_rate=0.1, augment=False, precision="fp32")


@pytest.fixture(scope="module")
def world(digits, tmp_path_factory):
    """A network that was trained on digits, its file, and inputs."""
    model = DOMAIN.network(digits, "resnet9:4", stream(0, "network"))
    fit(model, digits.subset(torch.arange(900)), DOMAIN, RECIPE, stream(0, "train"))
    folder = tmp_path_factory.mktemp("files")
    prepared = DOMAIN.prepare(digits.inputs)
    model.train()
    path = export_onnx(model, prepared, folder / "model.onnx")
    assert model.training  # as it was
    return model.eval(), digits, prepared, path


def test_a_whole_network_agrees_in_three_forms(world, capfd):
    model, _, prepared, path = world
    session, twin = Session(path), Interpreter(path)
    with torch.inference_mode():
        wanted = model(prepared[:300])
        assert (session(prepared[:300]) - wanted).abs().max() < 1e-4
        assert (twin(prepared[:300]) - wanted).abs().max() < 1e-4
    assert torch.allclose(features_of(twin, prepared[:9]), features_of(model, prepared[:9]), 1e-3)
    check_gradients(twin, prepared, DOMAIN.surface(prepared))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_eight_bits_agree_and_keep_their_derivatives(world, tmp_path, kind):
    model, data, prepared, path = world
    small = quantise_onnx(path, tmp_path / "small.onnx", prepared[:128], kind)
    proto = read(small)
    session, twin = Session(proto), Interpreter(proto)
    with torch.inference_mode():
        ours, theirs, floats = twin(prepared[:400]), session(prepared[:400]), model(prepared[:400])
    assert (ours.argmax(1) == theirs.argmax(1)).float().mean() >= 0.99
    assert not torch.equal(theirs, floats)  # it was quantised
    assert small.stat().st_size < 0.6 * path.stat().st_size
    assert accuracy(twin, data, DOMAIN).value > accuracy(model, data, DOMAIN).value - 0.05
    check_gradients(twin, prepared, DOMAIN.surface(prepared))
    with torch.inference_mode():
        loud = 20 * prepared[:64].float()
        true, bounded = model(loud), twin(loud)
        with open_ranges(twin):
            assert (twin(loud) - true).abs().max() < 0.05 * true.abs().max()
    assert kind == "dynamic" or bounded.abs().max() < 0.1 * true.abs().max()
    kinds = [type(layer) for layer in twin.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert kinds == [nn.Conv2d] * 8 + [nn.Linear]


def test_a_range_that_stands_for_a_relu6_stays_closed(tmp_path):
    """The quantiser leaves Clip(0, 6) out, because the range of the integers does its work."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        inputs = torch.randn(64, 3, 8, 8)
        layers = [nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(144, 3)]
    model = nn.Sequential(*layers).eval()
    path = export_onnx(model, 20 * inputs, tmp_path / "six.onnx")
    small = read(quantise_onnx(path, tmp_path / "small.onnx", 20 * inputs, "static"))
    assert "Clip" not in {node.op_type for node in small.graph.node}
    twin = Interpreter(small)
    with torch.no_grad(), open_ranges(twin):
        assert (twin(400 * inputs) - model(400 * inputs)).abs().max() < 0.5


def test_what_cannot_be_written_or_quantised_says_so(world, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("data-dependent flow\nwith a long story")

    model, _, prepared, path = world
    with pytest.raises(MethodError, match="needs a calibration"):
        quantise_onnx(path, tmp_path / "q.onnx", None)
    monkeypatch.setattr(torch.onnx, "export", fails)  # a real failure takes seconds
    with pytest.raises(DataError, match=r"cannot be written as an ONNX file: .* flow$"):
        export_onnx(model, prepared, tmp_path / "odd.onnx")
