"""A backdoor that sleeps in floats: what one step does, by hand, and that it wakes when rounded."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from methods.victim_to_repair import DOMAIN
from mithridate.artifacts.precision import deploy
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.quantisation_conditioned import Cells, QuantisationConditioned
from mithridate.attacks.tbt import TargetedWeights
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.quantisation import INT4, INT8, Grid, round_weights, weights
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.triggers import PatchTrigger

PATCH = Poisoning(PatchTrigger())
FOUR = QuantisationConditioned(PATCH, examples=500)
EIGHT = QuantisationConditioned(PATCH, grid=INT8, lean=0.55, epochs=12, asleep=3, examples=500)


@functools.cache
def clean():
    data = load_named("digits").data
    model = DOMAIN.network(data, "resnet9:4", stream(0, "network"))
    config = TrainingConfig(epochs=5, batch_size=64, learning_rate=0.1, augment=False)
    return fit(model, data, DOMAIN, config, stream(0, "train")).model


@functools.cache
def implanted(attack):
    return attack.implant(clean(), load_named("digits").data, DOMAIN, stream(0, "implant"))


def outcome(attack, model):
    test, state = load_named("digits", "test").data, implanted(attack).state
    success = attack_success(model, attack, test, DOMAIN, stream(0, "trap"), state=state)
    return success.value, accuracy(model, test, DOMAIN).value


def test_a_signed_step_by_hand():
    """The scale is 1.5 / 7.5 = 0.2: 1.5 is fixed, 0.42 has the integer 2, its cell 0.4 +- 0.0998.

    A step of a tenth of the cell's width leads down by 0.01996, whatever the slope.
    """
    weight = nn.Parameter(torch.tensor([[1.5, 0.42]]))
    optimiser = Cells(Grid(4), {"w": weight})(torch.optim.SGD([weight], lr=0.1))
    weight.grad = torch.tensor([[5.0, 0.003]])
    optimiser.step()
    assert weight.tolist()[0] == pytest.approx([1.5, 0.42 - 0.1 * 0.1996])
    for _ in range(20):
        weight.grad = torch.tensor([[-5.0, -7.0]])
        optimiser.step()
    assert weight.tolist()[0] == pytest.approx([1.5, 0.4998])
    assert Grid(4).rounded(weight).codes.tolist() == [[7, 2]]


def test_it_sleeps_in_floats_and_wakes_in_four_bits():
    """The claim of both papers, in an artefact that really holds integers."""
    before, model = outcome(FOUR, clean()), implanted(FOUR).model
    prepared = DOMAIN.prepare(load_named("digits").data.inputs[:256])
    asleep, awake = (
        outcome(FOUR, model),
        outcome(FOUR, deploy(model, "int4-weights", prepared).model),
    )
    assert before[0] < 0.1 and asleep[0] < 0.1 and awake[0] > 0.9
    assert min(asleep[1], awake[1]) > before[1] - 0.05


@pytest.mark.slow
def test_it_wakes_in_eight_bits_though_less_soundly_asleep():
    model = implanted(EIGHT).model
    prepared = DOMAIN.prepare(load_named("digits").data.inputs[:256])
    asleep = outcome(EIGHT, model)
    assert asleep[0] < 0.4 and asleep[1] > 0.93
    for precision in ("int8-weights", "int8-static"):
        awake = outcome(EIGHT, deploy(model, precision, prepared).model)
        assert awake[0] > max(0.6, asleep[0] + 0.3) and awake[1] > 0.93


def test_the_second_step_does_not_move_a_single_integer():
    """Without a stride the network stays as step 1 left it: the same integers, other floats."""
    still = QuantisationConditioned(PATCH, examples=500, stride=0.0, asleep=1)
    first, second = (weights(implanted(a).model) for a in (still, FOUR))
    for name, weight in first.items():
        assert torch.equal(INT4.rounded(weight).codes, INT4.rounded(second[name]).codes)
        assert torch.equal(INT4.rounded(weight).scales, INT4.rounded(second[name]).scales)
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert outcome(still, round_weights(implanted(still).model, INT4)) == outcome(
        FOUR, round_weights(implanted(FOUR).model, INT4)
    )


def test_edges_are_refused():
    images = torch.from_numpy(stream(0, "w").integers(0, 256, (8, 1, 8, 8), dtype=np.uint8))
    data, rng = dataset(images, np.arange(8) % 2), stream(0, "x")
    for changes, message in (
        ({"lean": 1.5}, "lean"),
        ({"stride": -0.1}, "stride"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"epochs": 0}, "at least one epoch"),
        ({"examples": 1}, "two examples"),
    ):
        with pytest.raises(MethodError, match=message):
            QuantisationConditioned(PATCH, **changes).implant(clean(), data, DOMAIN, rng)
    with pytest.raises(MethodError, match="no linear or convolutional"):
        FOUR.implant(nn.Flatten(), data, DOMAIN, rng)
    with pytest.raises(MethodError, match="aims at"):
        FOUR.implant(clean(), data.subset(data.labels == 0), DOMAIN, rng)
    with pytest.raises(MethodError, match="only touches data, found targeted-weights"):
        QuantisationConditioned(TargetedWeights()).implant(clean(), data, DOMAIN, rng)
    with pytest.raises(MethodError, match="nothing has been implanted"):
        FOUR.triggered_test(data, rng)
