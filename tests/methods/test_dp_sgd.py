"""Private training against ordinary steps, what a form changes, and the privacy spent."""

import copy
import math
import sys

import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.errors import MethodError, MissingExtra
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.trainers.dp_sgd import DPSGD

pytest.importorskip("opacus", reason="needs pip install 'mithridate[dp]'")

PLAIN = TrainingConfig(
    epochs=1, batch_size=8, learning_rate=0.02, weight_decay=0.0, precision="fp32", augment=False
)


def world(n=24, side=8):
    rng = stream(0, "world")
    inputs = torch.from_numpy(rng.integers(0, 256, (n, 3, side, side))).byte()
    return dataset(inputs, torch.arange(n) % 3)


def network(trainer, architecture="resnet9:8"):
    return trainer.form(ImageDomain().network(world(), architecture, stream(0, "network")))


def moved(trainer, data, model):
    """How far each weight went, and what was recorded."""
    before = [p.detach().clone() for p in model.parameters()]
    trained = trainer.train(model, data, ImageDomain(), stream(0, "train"))
    steps = [(p.detach() - b) for p, b in zip(model.parameters(), before, strict=True)]
    return steps, trained


def test_without_noise_and_clipping_it_takes_the_steps_of_ordinary_training():
    """Also a test of Opacus, which misreads inputs of a convolution that are channels last."""
    trainer = DPSGD(noise=0.0, clip=1e9, training=PLAIN)
    mine, theirs = network(trainer), network(trainer)
    start = copy.deepcopy(theirs)
    trained = trainer.train(mine, world(), ImageDomain(), stream(0, "train"))
    plain = fit(theirs, world(), ImageDomain(), PLAIN, stream(0, "train"))
    torch.testing.assert_close(trained.losses, plain.losses, rtol=1e-3, atol=1e-3)
    triples = zip(mine.parameters(), theirs.parameters(), start.parameters(), strict=True)
    for found, target_labels, first in triples:
        assert (found - target_labels).norm() < 0.02 * (target_labels - first).norm()


def test_one_step_is_no_longer_than_the_rate_times_the_clip():
    config = TrainingConfig(
        epochs=1,
        batch_size=24,
        learning_rate=0.1,
        momentum=0.0,
        weight_decay=0.0,
        precision="fp32",
        augment=False,
    )
    trainer = DPSGD(noise=0.0, clip=0.01, training=config)
    steps, _ = moved(trainer, world(), network(trainer))
    length = float(torch.stack([s.norm() for s in steps]).norm())
    rate = config.at(0, 1)
    assert 0 < length <= rate * 0.01 * (1 + 1e-4)


def test_noise_of_one_step_has_the_variance_it_says():
    config = TrainingConfig(
        epochs=1,
        batch_size=24,
        learning_rate=0.1,
        momentum=0.0,
        weight_decay=0.0,
        precision="fp32",
        augment=False,
    )
    trainer = DPSGD(noise=2.0, clip=0.001, training=config)
    steps, _ = moved(trainer, world(), network(trainer))
    every = torch.cat([s.flatten() for s in steps])
    assert float(every.std()) == pytest.approx(config.at(0, 1) * 2.0 * 0.001 / 24, rel=0.02)


def test_form_leaves_the_network_and_replaces_what_mixes_examples():
    network = nn.Sequential(nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.BatchNorm1d(6))
    formed = DPSGD().form(network)
    assert isinstance(network[0], nn.BatchNorm2d)
    assert network[1].inplace
    assert (formed[0].num_groups, formed[0].num_channels) == (8, 16)
    assert (formed[2].num_groups, formed[2].num_channels) == (1, 6)
    assert not formed[1].inplace


def test_the_privacy_spent_falls_with_noise_and_rises_with_steps():
    spent = [DPSGD(noise=noise).epsilon(0.01, 100) for noise in (0.0, 0.5, 1.0, 4.0)]
    assert spent[0] == math.inf
    assert spent[1] > spent[2] > spent[3] > 0
    assert DPSGD(noise=1.0).epsilon(0.01, 1000) > spent[2]
    # of the whole data set at once the Gaussian mechanism has RDP a / (2 noise^2) at order a:
    # min over a of a / 32 + log(1 / delta) / (a - 1) is at most 0.03125 + 2 sqrt(11.513 / 32)
    whole = DPSGD(noise=4.0).epsilon(1.0, 1)
    assert 0.5 < whole < 0.03125 + 2 * math.sqrt(math.log(1e5) / 32)


def test_the_cost_names_the_privacy_and_the_network_is_left_clean():
    trainer = DPSGD(noise=1.0, training=PLAIN)
    _, trained = moved(trainer, world(), network(trainer))
    assert trained.cost["epsilon"] == pytest.approx(trainer.epsilon(1 / 3, 3))
    copy.deepcopy(trained.model)
    assert not any(hasattr(p, "grad_sample") for p in trained.model.parameters())
    assert all(p.requires_grad for p in trained.model.parameters())
    layers = list(trained.model.modules())
    assert not any(layer._forward_pre_hooks or layer._backward_hooks for layer in layers)


def test_a_network_out_of_form_is_refused_with_the_way_to_get_one():
    model = ImageDomain().network(world(), "resnet9:8", stream(0, "network"))
    with pytest.raises(MethodError, match=r"trainer\.form"):
        DPSGD(training=PLAIN).train(model, world(), ImageDomain(), stream(0, "train"))


@pytest.mark.parametrize(
    "fields",
    [{"noise": -1.0}, {"clip": 0.0}, {"delta": 1.0}, {"training": TrainingConfig(sam_radius=0.1)}],
    ids=str,
)
def test_settings_out_of_range_are_refused(fields):
    with pytest.raises(MethodError, match="need noise"):
        DPSGD(**fields).train(nn.Identity(), world(), ImageDomain(), stream(0, "train"))


def test_without_opacus_the_error_says_what_to_install(monkeypatch):
    trainer = DPSGD(training=PLAIN)
    model = network(trainer)
    monkeypatch.setitem(sys.modules, "opacus.grad_sample.grad_sample_module", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mithridate\[dp\]'"):
        trainer.train(model, world(), ImageDomain(), stream(0, "train"))
