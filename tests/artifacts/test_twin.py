"""Dequantised twins: they answer alike, have gradients, and are refused where they do not."""

import dataclasses
import warnings

import pytest
import torch
from torch import nn

from methods.victim_to_repair import DOMAIN, victim
from mithridate.artifacts.precision import PRECISIONS, deploy, receive
from mithridate.artifacts.twin import OnGrid, twin_of
from mithridate.core.errors import CannotJudge
from mithridate.core.inference import last_linear
from mithridate.core.quantisation import open_ranges
from mithridate.scanners.gradients import check_gradients

INTEGER = ("int8-dynamic", "int8-static")


def trusted():
    return DOMAIN.prepare(victim()[1].inputs)


def made(precision, cache={}):  # noqa: B006  one for all tests
    if precision not in cache:
        cache[precision] = deploy(victim()[0], precision, trusted()[:256])
    return cache[precision]


def test_rounding_of_activations_by_hand():
    """Scale 0.5 and zero point 2: integers 0..255 stand for -1..126.5."""
    values = torch.tensor([-3.0, -1.0, 0.2, 0.3, 200.0], requires_grad=True)
    found = OnGrid(0.5, 2)(values)
    assert found.tolist() == [-1.0, -1.0, 0.0, 0.5, 126.5]
    (slope,) = torch.autograd.grad(found.sum(), values)
    assert slope.tolist() == [0, 1, 1, 1, 0]


def test_a_range_that_is_open_keeps_only_the_end_that_rectifies():
    """Zero point 2 of 0..255 leaves a range below zero: both ends open; zero point 0: only one."""
    values = torch.tensor([-3.0, 0.3, 200.0], requires_grad=True)
    two, zero = OnGrid(0.5, 2), OnGrid(0.5, 0)
    with open_ranges(nn.Sequential(two, zero)):
        assert torch.equal(two(values), values)
        found = zero(values)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.3, 200.0]))
    assert torch.autograd.grad(found.sum(), values)[0].tolist() == [0, 1, 1]
    assert two(values).tolist() == [-1.0, 0.5, 126.5] and two.clips and zero.clips


def test_without_its_ranges_the_twin_of_static_int8_goes_where_the_weights_take_it():
    """Inputs of twenty times the size: floats answer strongly, the artefact does not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        floats, usual = (
            nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)),
            torch.randn(64, 4),
        )
    place, loud = deploy(floats, "int8-static", usual), 20 * usual
    most = floats(loud).abs().max().item()
    assert place.model(loud).abs().max() < most / 5
    for _ in range(2):
        assert place.twin(loud).abs().max() < most / 5
        with open_ranges(place.twin):
            assert (place.twin(loud) - floats(loud)).abs().max() < most / 20


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_twin_answers_like_its_artefact_and_has_gradients(precision):
    found = made(precision).check(trusted()[256:])
    assert found.same >= 0.99 and found.mean < 0.02 and found.mean <= found.largest
    twin = made(precision).twin
    check_gradients(twin, trusted()[256:], DOMAIN.surface(trusted()))
    assert isinstance(last_linear(twin), nn.Linear)
    loss = twin(trusted()[:8]).square().sum()
    assert all(slope.any() for slope in torch.autograd.grad(loss, last_linear(twin).parameters()))


def test_the_twin_of_static_int8_rounds_as_the_artefact_does_and_not_as_floats_do():
    """To 1e-3 of the spread of the logits; without the rounding it would differ 20 times more."""
    place = made("int8-static")
    floats = dataclasses.replace(place, twin=victim()[0])
    near, far = (p.compare(trusted()[256:]).mean for p in (place, floats))
    assert near < 2e-3 and far > 10 * near


@pytest.mark.parametrize("precision", INTEGER)
def test_the_artefact_itself_has_no_gradient_and_says_so(precision):
    with warnings.catch_warnings(), pytest.raises(CannotJudge):
        warnings.simplefilter("ignore")  # torch says that the gradient may be wrong
        check_gradients(made(precision).model, trusted(), DOMAIN.surface(trusted()))


def test_a_twin_with_one_wrong_layer_is_refused():
    place = made("int8-static")
    wrong = twin_of(place.model.inner)
    layer = wrong.get_submodule("5.0")[0]
    layer.weight.data = layer.weight.data.flip(0)
    faulty = dataclasses.replace(place, twin=wrong)
    assert faulty.compare(trusted()[256:]).same < 0.9
    with pytest.raises(CannotJudge, match="no likeness"):
        faulty.check(trusted()[256:])


def test_a_twin_whose_margins_are_others_is_refused_though_it_calls_all_alike():
    place = made("int8-weights")
    wrong = twin_of(place.model.inner)
    head = last_linear(wrong)
    head.weight.data, head.bias.data = 3 * head.weight.data, 3 * head.bias.data
    faulty = dataclasses.replace(place, twin=wrong)
    assert faulty.compare(trusted()[256:]).same == 1
    with pytest.raises(CannotJudge, match="of their spread"):
        faulty.check(trusted()[256:])


def test_a_twin_that_gives_no_numbers_is_refused():
    place = made("int8-weights")
    wrong = twin_of(place.model.inner)
    last_linear(wrong).bias.data[0] = float("nan")
    with pytest.raises(CannotJudge):
        dataclasses.replace(place, twin=wrong).check(trusted()[256:])


def eager():
    """A received model of eager mode: with modules that quantise, add nothing and dequantise."""
    from torch.ao import quantization as ao

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            ao.QuantStub(), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3),
            ao.DeQuantStub(),
        ).eval()  # fmt: skip
        batch = torch.randn(64, 1, 8, 8)
    ao.fuse_modules(model, [["1", "2"]], inplace=True)
    model.qconfig = ao.get_default_qconfig(torch.backends.quantized.engine)
    ao.prepare(model, inplace=True)
    model(batch)
    return ao.convert(model), batch


def test_received_models_of_torch_ao_are_read():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.ao is to go
        model, batch = eager()
        dynamic = torch.ao.quantization.quantize_dynamic(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), {nn.Linear}
        )
    for found in (receive(model), receive(dynamic)):
        assert found.check(batch).same >= 0.99
        assert not found.why and found.share > 0.9


def test_a_layer_without_a_known_twin_is_named():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(
            nn.Sequential(nn.LSTM(4, 4)), {nn.LSTM}, torch.qint8
        )
    found = receive(model)
    assert found.twin is None and "'0' (LSTM of torch.ao" in found.why
    with pytest.raises(CannotJudge, match="LSTM"):
        found.check(torch.zeros(2, 3, 4))


def test_floats_are_their_own_twin():
    model = victim()[0]
    twin = twin_of(model)
    assert twin is not model
    torch.testing.assert_close(twin(trusted()[:9]), model(trusted()[:9]))


class Tenfold(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, batch):
        return self.layer(batch) * 10


def test_an_arithmetic_with_a_number_has_no_twin_and_says_so():
    """It rounds in another way than that of two tensors."""
    place = deploy(Tenfold(), "int8-static", torch.randn(64, 4))
    assert place.twin is None and "no differentiable twin" in place.why
