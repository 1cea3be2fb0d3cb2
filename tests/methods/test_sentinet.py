"""SentiNet: windows and a value by hand, what it sees and what it misses, what it refuses."""

import numpy as np
import pytest
import torch

from methods.smooth_world import smooth
from methods.twins import arriving, network, separation, trusted, view
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import dataset
from mithridate.core.domain import Surface
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.view import View
from mithridate.detectors.sentinet import SentiNet, windows
from mithridate.domains.image.global_triggers import SinusoidTrigger
from mithridate.domains.text.domain import TextDomain


def test_windows_overlap_by_half_and_reach_every_place():
    masks = windows(Surface(0.0, 255.0, (3, 8, 9), (1, 8, 9)), 0.25)
    assert masks.shape == (7 * 8, 1, 8, 9)
    assert (masks.flatten(1).sum(1) == 4).all()
    assert masks.any(0).all()
    assert len(masks.unique(dim=0)) == len(masks)
    line = windows(Surface(-1.0, 1.0, (5,), (5,)), 0.4)
    assert line.int().tolist() == [
        [1, 1, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 0, 1, 1],
    ]


class Sum(torch.nn.Module):
    """Class 1 with the odds e to the sum of all bytes over 100."""

    def forward(self, inputs):
        odds = inputs.float().sum((1, 2, 3)) / 100
        return torch.stack([torch.zeros_like(odds), odds], 1)


def squares(*rows):
    inputs = torch.tensor(rows, dtype=torch.uint8).view(-1, 1, 2, 2)
    return view(dataset(inputs, [0] * len(rows), ("0", "1")), Sum())


def test_the_score_by_hand():
    """The brightest of four places is salient; the hosts have none of it, and 0 is inert."""
    detector = SentiNet(window=0.5)
    state = detector.fit(squares([0, 0, 0, 10], [40, 0, 0, 30]))
    assert state["inert"].flatten().tolist() == [20, 0, 0, 20]
    found = float(detector.score(state, squares([20, 0, 250, 20])))
    hosts = torch.tensor([10.0, 70.0])
    expected = torch.sigmoid((hosts + 250) / 100) - torch.sigmoid(hosts / 100)
    assert found == pytest.approx(float(expected.mean()), abs=1e-5)


def test_a_region_that_carries_its_class_is_suspicious_and_a_clean_twin_sees_nothing():
    assert separation(SentiNet(), network()) >= 0.9
    assert 0.3 < separation(SentiNet(), network(None)) < 0.7


def test_a_trigger_without_a_region_is_missed():
    waves = Poisoning(SinusoidTrigger(), AllToOne(2), RandomSelection(0.1))
    assert separation(SentiNet(), network(waves), waves) < 0.75


def test_it_only_asks_the_model():
    above, _ = arriving(network())
    SentiNet().score(SentiNet().fit(trusted(network())), above)
    assert above.used == {"inputs", "queries"}


def test_it_refuses_settings_forms_and_inputs_that_have_no_windows():
    for wrong in ({"window": 1.0}, {"hosts": 0}):
        with pytest.raises(MethodError, match="window between 0 and 1"):
            SentiNet(**wrong).fit(squares([1, 2, 3, 4]))
    state = SentiNet().fit(trusted(network(None)))
    with pytest.raises(MethodError, match="fit again"):
        SentiNet().score(state, view(smooth(2, side=12), network(None)))
    texts = dataset(np.array(["a film", "a book"], dtype=object), [0, 1])
    model = TextDomain().network(texts, "", np.random.default_rng(0))
    with pytest.raises(CannotJudge, match="words"):
        SentiNet().fit(View(texts, domain=TextDomain(), model=model))
