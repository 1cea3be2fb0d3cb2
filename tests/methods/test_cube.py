"""CUBE: values by hand, and a cluster of a few in a hundred is found."""

import pytest
import torch

from mithridate.core.errors import MethodError
from mithridate.core.view import View
from mithridate.detectors.cube import Cube
from mithridate.stats.ranking import auroc


def noise(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def view(features, labels=None):
    labels = torch.zeros(len(features), dtype=torch.int64) if labels is None else labels
    return View(features=features, labels=labels)


def test_values_by_hand():
    """Ten points around 0 and four around 100, of which the nearest three are asked."""
    rows = torch.cat([torch.arange(10) / 10, 100 + torch.arange(4) / 10])[:, None]
    cube = Cube(components=1, least=4, neighbours=3)
    state = cube.fit(view(rows))
    assert state["outside"].sum() == 4
    assert state["outside"][state["points"].flatten().argsort()[-4:]].all()
    scores = cube.score(state, view(rows))
    radius = float((torch.arange(10) / 10).var(correction=0).sqrt())
    away = (100 - 0.9) / radius
    assert scores[:10].tolist() == pytest.approx([0] * 10, abs=1e-6)
    assert float(scores[10]) == pytest.approx(1 + away / (1 + away) / 3, rel=1e-5)


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_a_small_cluster_of_its_class_is_found(share):
    rows, poisoned = noise(1500, 20), torch.arange(1500) < 1500 * share
    rows[poisoned] = 0.3 * rows[poisoned] + 5
    scores = Cube().judge(view(rows)).values
    assert auroc(scores, poisoned) > 0.99
    assert (scores[~poisoned] < 0.2).double().mean() > 0.95


def test_one_cluster_and_too_few_examples_are_one_and_an_unknown_class_scores_nothing():
    state = Cube().fit(view(torch.ones(50, 3)))
    assert not state["outside"].any()
    assert not Cube().fit(view(noise(30, 3)))["outside"].any()
    strange = view(noise(4, 3), torch.tensor([0, 1, 5, 0]))
    assert Cube().score(state, strange)[1:3].tolist() == [0, 0]


def test_of_a_large_class_some_are_drawn():
    state = Cube(most=100).fit(view(noise(300, 4)))
    assert len(state["points"]) == 100


@pytest.mark.parametrize("wrong", [Cube(components=0), Cube(least=1), Cube(neighbours=0)])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(MethodError, match="need at least 1 component"):
        wrong.fit(view(noise(10, 2)))
