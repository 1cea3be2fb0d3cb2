"""Deploying at a precision: rounding by hand, shares that are true, artefacts that hold still."""

import copy
import math

import pytest
import torch
from torch import nn

from methods.victim_to_repair import ATTACK, DOMAIN, victim
from mithridate.artifacts.packed import Packed, pack_weights
from mithridate.artifacts.precision import PRECISIONS, Artefact, deploy, receive, share_of
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.inference import logits_of
from mithridate.core.quantisation import INT4, INT8, Grid, round_weights, weights
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named

WEIGHT = torch.tensor([[1.5, -0.75], [0.4, 0.0]])


def trusted():
    return DOMAIN.prepare(victim()[1].inputs)


def made(precision, cache={}):  # noqa: B006  one for all tests
    if precision not in cache:
        cache[precision] = deploy(victim()[0], precision, trusted()[:256])
    return cache[precision]


def test_four_bits_by_hand():
    """Row 1: s = 1.5 / 7.5 = 0.2, so 7.5 -> 8, clipped to 7, and -3.75 -> -4; row 2: 7 and 0."""
    codes, scales = Grid(4).rounded(WEIGHT)
    assert codes.dtype == torch.int8 and codes.tolist() == [[7, -4], [7, 0]]
    assert scales.flatten().tolist() == pytest.approx([0.2, 0.4 / 7.5])
    restored = Grid(4).restored(Grid(4).rounded(WEIGHT))
    torch.testing.assert_close(restored, torch.tensor([[1.4, -0.8], [0.4 * 7 / 7.5, 0.0]]))


def test_groups_have_scales_of_their_own_and_the_last_may_be_short():
    weight = torch.tensor([[[1.0, 2.0, 30.0]]])  # groups (1, 2) and (30): scales 2/7.5 and 4
    codes, scales = Grid(4, 2).rounded(weight)
    assert scales.tolist() == [pytest.approx([2 / 7.5, 4.0])]
    assert codes.tolist() == [[[4, 7, 7]]]  # 1 / (2 / 7.5) = 3.75
    assert codes.shape == weight.shape


def test_the_straight_through_weight_is_rounded_and_has_the_derivative_of_the_weight():
    weight = WEIGHT.clone().requires_grad_()
    through = Grid(4).through(weight)
    torch.testing.assert_close(through, Grid(4).restored(Grid(4).rounded(WEIGHT)))
    (slope,) = torch.autograd.grad((through * torch.arange(4.0).view(2, 2)).sum(), weight)
    assert slope.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("grid", [Grid(4), INT8, INT4, Grid(3, 5)])
def test_within_its_cell_a_weight_keeps_its_integers_and_beyond_it_does_not(grid):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weight = torch.randn(6, 7, 3)
    low, high = grid.cells(weight)
    assert bool((low <= weight).all() and (weight <= high).all() and (low < high).any())
    codes = grid.rounded(weight)
    for moved in (low, high, low + 0.3 * (high - low)):
        again = grid.rounded(moved)
        assert torch.equal(codes.codes, again.codes) and torch.equal(codes.scales, again.scales)
    assert not torch.equal(grid.rounded(high + 0.05 * (high - low)).codes, codes.codes)


@pytest.mark.parametrize("bits, group", [(1, 0), (9, 0), (4, -1)])
def test_a_grid_that_cannot_be_is_refused(bits, group):
    with pytest.raises(MethodError, match="2 to 8 bits"):
        Grid(bits, group)


@pytest.mark.parametrize("grid", [INT8, INT4])
def test_torchao_and_our_own_layers_round_alike(grid):
    """Linear layers are torchao's and convolutions ours; an attacker must know one grid only."""
    model = victim()[0]
    mine, held = weights(round_weights(model, grid)), pack_weights(model, grid)
    for name, weight in mine.items():
        layer = held.get_submodule(name.removesuffix(".weight"))
        assert isinstance(layer, Packed) != isinstance(layer, nn.Linear)
        restored = layer.weight if isinstance(layer, Packed) else layer.weight.dequantize()
        torch.testing.assert_close(restored.float(), weight, rtol=0, atol=1e-7)
    codes = held.get_submodule("1.0").get_buffer("codes")
    half = 2 ** (grid.bits - 1)
    assert codes.dtype == torch.int8 and -half <= int(codes.min()) <= int(codes.max()) < half


def test_each_convolution_keeps_its_form():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [
            (nn.Conv2d(4, 6, 3, 2, 1, groups=2), torch.randn(2, 4, 9, 9)),
            (nn.Conv1d(4, 6, 3, dilation=2, bias=False), torch.randn(2, 4, 9)),
            (nn.Linear(5, 3), torch.randn(2, 5)),
        ]
    for layer, batch in layers:
        for held in (Packed(layer, INT8), Packed(layer, INT8).twin()):
            torch.testing.assert_close(held(batch), layer(batch), rtol=0, atol=0.02)
    with pytest.raises(MethodError, match="pad with zeros"):
        Packed(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"), INT8)


def test_dynamic_quantisation_of_a_convolutional_network_quantises_almost_nothing():
    """What Quantization Blindspots ran: of ResNet-9 only the last layer, 10 x 32 weights."""
    model = victim()[0]
    all_of_them = sum(p.numel() for p in model.parameters())
    assert made("int8-dynamic").share == pytest.approx(10 * 32 / all_of_them)
    assert made("int8-dynamic").share < 0.03


def test_the_shares_of_the_others():
    shares = {name: made(name).share for name in PRECISIONS}
    assert shares["fp32"] == 0
    held = sum(w.numel() for w in weights(victim()[0]).values())
    total = sum(p.numel() for p in victim()[0].parameters())
    assert shares["int8-weights"] == shares["int4-weights"] == pytest.approx(held / total)
    assert min(shares["int8-static"], shares["bf16"]) > 0.95
    assert share_of(nn.ReLU()) == 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_accuracy_and_backdoor_survive(precision):
    """As measured by everybody: quantising does not remove a common backdoor."""
    test = load_named("digits", "test").data
    model, quantised = victim()[0], made(precision).model
    lost = accuracy(model, test, DOMAIN).value - accuracy(quantised, test, DOMAIN).value
    assert lost < 0.06
    assert attack_success(quantised, ATTACK, test, DOMAIN, stream(0, "trap")).value > 0.9


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_artefact_holds_still(precision):
    """It can be moved, copied and told to train; its answers stay, alone and among others."""
    model, prepared = made(precision).model, trusted()[256:300]
    before = model(prepared)
    assert model.train() is model and model.training and not model.eval().training
    copied = copy.deepcopy(model).to("cpu").train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(copied(prepared), before, rtol=0, atol=0)
    assert before.dtype == torch.float32 and before.shape == (44, 10)
    alone = logits_of(model, prepared, Runtime(batch_size=1), "fp32")
    assert (alone.argmax(1) == before.argmax(1)).float().mean() > 0.95


def test_the_model_is_left_as_it_was():
    model = copy.deepcopy(victim()[0]).train()
    before = copy.deepcopy(model.state_dict())
    drawn = torch.random.get_rng_state()
    for precision in PRECISIONS:
        deploy(model, precision, trusted()[:8])
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert model.training and torch.equal(drawn, torch.random.get_rng_state())


def test_ranges_come_from_what_is_trusted():
    ordinary = made("int8-static").model(trusted()[256:300])
    narrow = deploy(victim()[0], "int8-static", trusted()[:64] // 8)
    assert not torch.allclose(narrow.model(trusted()[256:300]), ordinary, atol=0.5)


class Branching(nn.Module):
    """Takes one of two paths by what it is given."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, batch):
        return self.layer(batch.float()) if batch.sum() > 0 else batch.float()


def test_what_cannot_be_deployed_says_why():
    with pytest.raises(MethodError, match="available: fp32, bf16"):
        deploy(victim()[0], "int3", trusted())
    with pytest.raises(MethodError, match="trusted inputs, found none"):
        deploy(victim()[0], "int8-static", trusted()[:0])
    with pytest.raises(CannotJudge, match="cannot be traced"):
        deploy(Branching(), "int8-static", torch.ones(4, 2, dtype=torch.uint8))


def test_a_model_is_not_wrapped_twice():
    again = receive(made("int8-weights").model)
    assert again.model is made("int8-weights").model and isinstance(again.model, Artefact)
    assert math.isclose(again.share, made("int8-weights").share)
