"""SCALE-UP: a value by hand, raw values and not normalised ones, what it sees, what it refuses."""

import numpy as np
import pytest
import torch

from methods.smooth_world import smooth
from methods.twins import arriving, network, separation, trusted, view
from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.view import View
from mithridate.detectors.scale_up import ScaleUp
from mithridate.domains.text.domain import TextDomain


class Bright(torch.nn.Module):
    """Class 1 from a first value of 100 on."""

    def forward(self, inputs):
        high = inputs[:, 0, 0, 0].float() >= 100
        return torch.stack([~high, high], 1).float()


def levels(*values):
    inputs = torch.zeros(len(values), 1, 1, 1, dtype=torch.uint8)
    inputs[:, 0, 0, 0] = torch.tensor(values)
    return view(dataset(inputs, [0] * len(values), ("dark", "bright")), Bright())


def test_values_by_hand():
    """Of 3, 5, 7, 9, 11 times 12 only the last two reach 100; what is bright stays so."""
    detector = ScaleUp(normalised=False)
    assert detector.score(detector.fit(levels(1)), levels(12, 5, 40, 100, 255)).tolist() == [
        pytest.approx(v) for v in (3 / 5, 1, 0, 1, 1)
    ]


def test_normalised_values_by_hand():
    """Dark examples of consistency 1, 1, 0, 0 have mean and deviation one half."""
    detector = ScaleUp()
    state = detector.fit(levels(1, 2, 50, 60, 200, 210, 220, 230))
    scores = detector.score(state, levels(1, 50, 12, 240))
    torch.testing.assert_close(scores, torch.tensor([1, -1, 0.2, 0]).double())
    assert state["spreads"].tolist() == [0.5, 0.1], "equal examples leave half a step"


def test_a_class_with_few_examples_takes_the_statistics_of_all():
    state = ScaleUp().fit(levels(1, 2, 50, 60, 200))
    assert state["means"].tolist() == pytest.approx([0.5, 0.6])


def test_triggered_inputs_keep_their_class_and_a_clean_twin_sees_nothing():
    mild = ScaleUp(multiples=(2, 3))
    assert separation(mild, network()) >= 0.9
    assert separation(mild, network(None)) < 0.7


def test_the_raw_score_suspects_the_whole_class_and_the_normalised_one_admits_it():
    """White is called like the trigger here, so every input of that class is consistent."""
    model = network()
    assert separation(ScaleUp(normalised=False), model) >= 0.9
    assert separation(ScaleUp(), model) == pytest.approx(0.5, abs=0.1)
    known = trusted(model)
    raw = ScaleUp(normalised=False).score({}, known)
    assert raw[known.labels == 2].mean() > 0.9 > 0.1 > raw[known.labels != 2].mean()


def test_it_only_asks_the_model():
    above, _ = arriving(network())
    ScaleUp().score(ScaleUp().fit(above), above)
    assert above.used == {"inputs", "queries"}


def test_it_refuses_factors_that_do_not_amplify_and_inputs_that_are_no_numbers():
    for multiples in ((), (1, 2)):
        with pytest.raises(MethodError, match="above 1"):
            ScaleUp(multiples=multiples).fit(view(smooth(8), network(None)))
    texts = dataset(np.array(["a film", "a book"], dtype=object), [0, 1])
    model = TextDomain().network(texts, "", np.random.default_rng(0))
    with pytest.raises(CannotJudge, match="words"):
        ScaleUp().fit(View(texts, domain=TextDomain(), model=model))
