"""What guards make of several layers: values by hand, what they see, and models they refuse."""

import math

import pytest
import torch
from torch import nn

from methods.guarded_world import adversarial, apart, triggered, trusted, view
from methods.victim_to_repair import DOMAIN, victim
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.view import View
from mithridate.detectors._activations import MOST, activations, chosen_layers
from mithridate.detectors.activation_space import ActivationSpace
from mithridate.detectors.local_intrinsic_dimension import LocalIntrinsicDimension, log_dimension
from mithridate.detectors.ted import Ted, rank
from mithridate.stats.distances import blocks, votes

LAYERED = (ActivationSpace, LocalIntrinsicDimension, Ted)


def test_votes_by_hand():
    """Two of the three nearest are certain; the third place is shared by two classes."""
    distances = torch.tensor([[1.0, 2.0, 3.0, 3.0, 9.0]]).double()
    found = votes(distances, torch.tensor([0, 1, 1, 2, 2]), 3, 3)
    torch.testing.assert_close(found[0], torch.tensor([2, 3, 1]).double() / 6)


def test_distances_are_those_of_the_definition_and_no_point_is_its_own_neighbour():
    points = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)) + 100
    found = torch.cat([d for _, d in blocks(points, points, itself=True)])
    expected = (points.double()[:, None] - points.double()).norm(dim=2).fill_diagonal_(torch.inf)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-4)


def test_the_dimension_by_hand():
    """Distances 1, 2, 4: the mean of ln r / 4 is -(ln 4 + ln 2) / 3 = -ln 2."""
    found = log_dimension(torch.tensor([[1.0, 2.0, 4.0]]).double())
    assert float(found[0].exp()) == pytest.approx(1 / math.log(2))


def test_the_dimension_of_a_plane_and_of_a_cube():
    source = torch.Generator().manual_seed(0)
    for dimension in (2, 3):
        points = torch.rand(2000, dimension, generator=source)
        near = torch.cdist(points[:100], points).topk(41, largest=False).values[:, 1:]
        found = log_dimension(near.double()).exp().median()
        assert float(found) == pytest.approx(dimension, rel=0.15)


def test_the_rank_by_hand():
    """One point is nearer than the nearest of the class and one as near: 1.5 of 5."""
    distances = torch.tensor([[1.0, 2.0, 2.0, 3.0, 4.0]]).double()
    same = torch.tensor([[False, False, True, True, False]])
    assert rank(distances, same).tolist() == [pytest.approx(1.5 / 5)]
    assert rank(distances, torch.zeros(1, 5, dtype=torch.bool)).tolist() == [1.0]


def test_the_chosen_layers_are_spread_over_the_model():
    places = chosen_layers(trusted())
    pooled, logits = activations(trusted(), places)
    assert len(places) == len(pooled) == MOST
    assert len({rows.shape[1] for rows in pooled}) > 2, "widths differ from layer to layer"
    features = trusted().features
    torch.testing.assert_close(pooled[-1], features)
    assert torch.equal(logits.argmax(1), (victim()[0][-1](features)).argmax(1))


def test_a_layer_that_depends_on_the_rest_of_the_batch_is_left_out():
    class Mixing(nn.Module):
        def forward(self, batch):
            return batch - batch.mean(0)

    inner = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), Mixing(), nn.ReLU())

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.last = inner, nn.Linear(8, 10)

        def forward(self, batch):
            return self.last(self.inner(batch.float()))

    seen = View(trusted()._data, domain=DOMAIN, model=Model(), precision="fp32")
    assert chosen_layers(seen).tolist() == [0]


def test_triggered_inputs_stand_out():
    """Three victims: 0.86 to 1 by layers' neighbours or dimension.

    The patch fills a seventh of so small an image, so its examples are a crowd in their class:
    by space they stand out at 0.52 to 0.80, of which nothing is claimed.
    """
    for detector in (Ted(), LocalIntrinsicDimension()):
        assert apart(detector, triggered()) > 0.8, detector


def test_adversarial_inputs_stand_out():
    for detector in (ActivationSpace(), Ted()):
        assert apart(detector, adversarial()) > 0.8, detector


@pytest.mark.parametrize("guard", LAYERED)
def test_a_model_that_cannot_be_looked_into_is_refused(guard):
    class Sealed(nn.Module):
        def forward(self, batch):
            return batch.float().flatten(1)[:, :10]

    with pytest.raises(CannotJudge, match="can be looked into"):
        guard().fit(View(trusted()._data, domain=DOMAIN, model=Sealed(), precision="fp32"))


@pytest.mark.parametrize("guard", [ActivationSpace(components=0), ActivationSpace(neighbours=0),
                                   LocalIntrinsicDimension(neighbours=1)])  # fmt: skip
def test_impossible_settings_are_named(guard):
    with pytest.raises(MethodError, match="need at least"):
        guard.fit(trusted())


@pytest.mark.parametrize("guard", LAYERED)
def test_one_trusted_example_is_too_few(guard):
    with pytest.raises(MethodError, match="trusted examples"):
        guard().fit(view(trusted()._data.subset([0])))
