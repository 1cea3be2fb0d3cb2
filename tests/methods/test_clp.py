"""Channel Lipschitz pruning: bounds by hand, a planted loud channel, and layers of equals."""

import pytest
import torch
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.repairs.channels import channels, outliers
from mithridate.repairs.clp import ChannelLipschitzPruning, bounds


def network(count=16):
    """A convolution whose kernels are all [[1, 0], [0, 1]], behind it a normalisation of 1s."""
    convolution = nn.Conv2d(1, count, 2, bias=False)
    norm = nn.BatchNorm2d(count, eps=0.0)
    with torch.no_grad():
        convolution.weight.copy_(torch.eye(2).expand(count, 1, 2, 2))
    return nn.Sequential(convolution, norm, nn.ReLU(), nn.Flatten(), nn.Linear(count, 3)).eval()


def repaired(model, **settings):
    method = ChannelLipschitzPruning(**settings)
    return method.repair(View(model=model), stream(0, "repair"))


def test_bounds_by_hand():
    model = network(3)
    with torch.no_grad():
        model[0].weight[1] = torch.tensor([[[3.0, 0.0], [0.0, 4.0]]])  # one input: |(3, 0, 0, 4)|
        model[1].weight[2] = -6.0
        model[1].running_var[2] = 4.0
    (group,) = channels(model)
    assert group.layer is model[1]
    assert group.maker is model[0]
    root = 2**0.5
    assert torch.allclose(bounds(group), torch.tensor([root, 5.0, 3 * root]))


def test_the_largest_singular_value_of_inputs_by_places():
    layer = nn.Conv2d(2, 1, (1, 2), bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[[[3.0, 0.0]], [[0.0, 4.0]]]]))  # [[3, 0], [0, 4]]: 4
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(1, 2))
    assert torch.allclose(bounds(channels(model)[0]), torch.tensor([4.0]))


def test_only_the_loud_channel_is_cut():
    model = network()
    with torch.no_grad():
        model[0].weight[5] *= 10  # 15 equal values and another: sqrt(15) = 3.9 deviations
        model[1].bias += 1.0
    result = repaired(model)
    cut = (result[1].weight == 0).nonzero().flatten().tolist()
    assert cut == [5]
    assert result[1].bias[5] == 0
    assert int((result[1].bias == 0).sum()) == 1
    assert bool((model[1].weight != 0).all()), "the argument was changed"
    assert int((repaired(model, deviations=4.0)[1].weight == 0).sum()) == 0


def test_equal_channels_and_few_channels_are_left_alone():
    assert bool((repaired(network())[1].weight == 1).all())
    few = network(10)
    with torch.no_grad():
        few[0].weight[0] *= 1e6  # exactly 3 deviations, the most that one of 10 can have
    assert bool((repaired(few)[1].weight == 1).all())


def test_outliers_are_above_and_not_at_the_limit():
    assert outliers(torch.tensor([0.0, 0.0, 0.0, 4.0]), 1.7).tolist() == [False] * 3 + [True]
    assert not outliers(torch.tensor([0.0, 0.0, 0.0, 4.0]), 1.75).any()
    assert not outliers(torch.ones(5), 0.0).any()


def test_a_layer_without_normalisation_is_cut_itself():
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].weight[3] = 9.0
        model[0].bias.fill_(1.0)
        model[2].weight[:, 0] = 100.0
    result = repaired(model)
    assert (result[0].weight.abs().sum(1) == 0).nonzero().flatten().tolist() == [3]
    assert result[0].bias[3] == 0
    assert torch.equal(result[2].weight, model[2].weight), "classes are no channels"


def test_a_network_without_channels_is_refused():
    with pytest.raises(MethodError, match="channels of convolutions"):
        repaired(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
