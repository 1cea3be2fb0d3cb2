"""IBD-PSC: a value by hand, the layers in the order of their use, what it sees and refuses."""

import copy

import pytest
import torch
from torch import nn

from methods.smooth_world import smooth
from methods.twins import network, separation, trusted, view
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.detectors.ibd_psc import IbdPsc, ordered_normalisations


class Turned(nn.Module):
    """Two normalisations that are run in another order than they stand."""

    def __init__(self):
        super().__init__()
        self.second, self.first = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
        self.idle = nn.BatchNorm1d(2)
        with torch.no_grad():
            self.first.bias.copy_(torch.tensor([0.0, 0.5]))
        self.seen = None

    def forward(self, inputs):
        values = inputs[:, 0, 0, :2].float()
        return self.second(self.first(values))


def pairs(*values):
    inputs = torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 2)
    return view(smooth(len(values)).with_inputs(inputs), Turned().eval())


def test_layers_are_found_in_the_order_of_their_use():
    shown = pairs((1, 2))
    assert ordered_normalisations(shown.model, shown) == [shown.model.first, shown.model.second]


def test_the_score_by_hand():
    """Amplified once, logits double; twice, scale and shift of the first layer double as well."""
    arriving = pairs((2, 1), (0, 1))
    detector = IbdPsc(factor=2.0, copies=2)
    scores = detector.score({"first": torch.tensor(1)}, arriving)
    margins = torch.tensor([1 - 0.5, 1 + 0.5]).double()  # of the class in front
    expected = (torch.sigmoid(2 * margins) + torch.sigmoid(4 * margins)) / 2
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)
    beyond = detector.score({"first": torch.tensor(2)}, arriving)
    torch.testing.assert_close(beyond, torch.sigmoid(4 * margins), rtol=1e-4, atol=1e-4)


def test_triggered_inputs_keep_their_class_and_the_model_is_left_alone():
    model = network()
    before = copy.deepcopy(model.state_dict())
    assert separation(IbdPsc(factor=4.0), model) >= 0.9
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_as_few_layers_as_possible_are_amplified():
    known = trusted(network())
    numbers = [
        int(IbdPsc(factor=4.0, threshold=limit).fit(known)["first"]) for limit in (0.01, 0.6)
    ]
    assert numbers[0] < numbers[1]


def test_a_model_that_does_not_err_cannot_be_judged():
    with pytest.raises(CannotJudge, match="choose a larger factor"):
        IbdPsc(factor=1.01).fit(trusted(network(None)))


@pytest.mark.parametrize("layer", [nn.Identity(), nn.BatchNorm2d(3, affine=False)], ids=str)
def test_a_model_without_normalisation_cannot_be_judged(layer):
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.last = layer, nn.Linear(3, 4)

        def forward(self, inputs):
            return self.last(self.layer(inputs.float()).mean((2, 3)))

    with pytest.raises(CannotJudge, match="no batch normalisation"):
        IbdPsc().fit(view(smooth(8), Plain()))


@pytest.mark.parametrize("wrong", [{"factor": 1.0}, {"copies": 0}, {"threshold": 1.0}], ids=str)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(MethodError, match="factor above 1"):
        IbdPsc(**wrong).fit(view(smooth(8), network(None)))
