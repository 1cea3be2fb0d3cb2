"""Batch-normalisation pruning: the divergence by hand, and a channel that poison has moved."""

import math

import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.image.domain import ImageDomain
from mithridate.repairs.bnp import BatchNormPruning, clean_moments, divergence

DATA = dataset(
    torch.from_numpy(stream(0, "bytes").integers(0, 256, (50, 1, 4, 4), dtype="uint8")),
    torch.arange(50) % 2,
)


class Floats(nn.Module):
    def forward(self, batch):
        return batch.float()


def network(count=16):
    """Channels that are the input itself, with moments as the trusted examples have them."""
    convolution, norm = nn.Conv2d(1, count, 1, bias=False), nn.BatchNorm2d(count)
    with torch.no_grad():
        convolution.weight.fill_(1.0)
        norm.running_mean.fill_(float(DATA.inputs.float().mean()))
        norm.running_var.fill_(float(DATA.inputs.float().var(correction=0)))
    head = nn.Linear(count * 16, 2)
    return nn.Sequential(Floats(), convolution, norm, nn.ReLU(), nn.Flatten(), head).eval()


def view(model, clean=DATA):
    return View(model=model, clean=clean, domain=ImageDomain())


def test_the_divergence_by_hand():
    mean, variance = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 4.0])
    other, spread = torch.tensor([0.0, 3.0]), torch.tensor([1.0, 2.0])
    by_hand = [0.0, (4 / 2 + 2**2 / 2 - 1 - math.log(4 / 2)) / 2]
    assert divergence(mean, variance, other, spread).tolist() == pytest.approx(by_hand)


def test_moments_are_those_of_what_enters_the_normalisation():
    ((layer, mean, variance),) = clean_moments(view(model := network())).values()
    assert layer is model[2]
    values = DATA.inputs.double()
    assert mean.tolist() == pytest.approx([float(values.mean())] * 16, rel=1e-6)
    assert variance.tolist() == pytest.approx([float(values.var(correction=0))] * 16, rel=1e-6)
    assert not model[2]._forward_pre_hooks


@pytest.mark.parametrize("moment, value", [("running_mean", 400.0), ("running_var", 9.0e4)])
def test_the_channel_that_training_saw_otherwise_is_cut(moment, value):
    model = network()
    with torch.no_grad():
        getattr(model[2], moment)[7] = value
        model[2].bias += 1.0
    result = BatchNormPruning().repair(view(model), stream(0, "repair"))
    assert (result[2].weight == 0).nonzero().flatten().tolist() == [7]
    assert (result[2].bias == 0).nonzero().flatten().tolist() == [7]
    kept = BatchNormPruning(deviations=4.0).repair(view(model), stream(0, "repair"))
    assert bool((kept[2].weight == 1).all())


def test_equal_channels_are_left_alone():
    result = BatchNormPruning().repair(view(network()), stream(0, "repair"))
    assert bool((result[2].weight == 1).all())


def test_edges():
    with pytest.raises(MethodError, match="found 0"):
        BatchNormPruning().repair(view(network(), DATA.subset([])), stream(0, "repair"))
    with pytest.raises(MethodError, match="no 'clean'"):
        BatchNormPruning().repair(view(network(), None), stream(0, "repair"))
    plain = nn.Sequential(Floats(), nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(MethodError, match="no batch normalisation"):
        BatchNormPruning().repair(view(plain), stream(0, "repair"))
    one = BatchNormPruning().repair(
        view(network(), DATA.subset(DATA.labels == 1)), stream(0, "repair")
    )
    assert all(bool(torch.isfinite(value).all()) for value in one.state_dict().values())
