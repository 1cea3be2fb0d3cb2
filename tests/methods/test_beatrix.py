"""Beatrix: values by hand, what it sees, features that are off, classes that are too small."""

import pytest
import torch

from methods.twins import network, separation
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.view import View
from mithridate.detectors import beatrix
from mithridate.detectors.beatrix import Beatrix, bounds


def view(rows, labels=None):
    features = torch.as_tensor(rows, dtype=torch.float32)
    return View(
        features=features, labels=torch.zeros(len(rows)).long() if labels is None else labels
    )


def features(n, d=6, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)).clamp_min(0) + 0.5


FITTED = [[1, 0], [2, 1], [3, 1], [4, 2], [5, 1]]
"""Products aa: 1 4 9 16 25, ab: 0 2 3 8 5, bb: 0 1 1 4 1."""


def test_bounds_by_hand():
    medians, spreads = bounds(torch.tensor(FITTED).float())
    assert medians.tolist() == [9, 3, 1]
    assert spreads.tolist() == [7, 2, 0]  # of 8 5 0 7 16, of 3 1 0 5 2 and of 1 0 0 3 0


def test_the_score_by_hand():
    detector = Beatrix(width=2.0)
    scores = detector.score(detector.fit(view(FITTED)), view([[6, 2], [3, 1]]))
    expected = ((36 - 9 - 14) / 10 + (12 - 3 - 4) / 5 + (4 - 1 - 0) / 3) / 3
    assert scores.tolist() == pytest.approx([expected, 0], rel=1e-4)


def test_triggered_inputs_leave_the_bounds_and_a_clean_twin_sees_nothing():
    assert separation(Beatrix(), network()) >= 0.9
    assert 0.3 < separation(Beatrix(), network(None)) < 0.7


def test_it_sees_features_that_are_usual_alone_and_not_together():
    source = torch.Generator().manual_seed(1)
    share = torch.rand(400, generator=source)
    rows = torch.stack([share, 1 - share], 1)
    detector = Beatrix(width=3.0)
    scores = detector.score(detector.fit(view(rows)), view([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]))
    assert scores[0] > 3 * scores[1:].max()


def test_features_that_are_always_off_do_not_drown_the_others():
    """A bound of zero, by which the paper divides, must not decide alone."""
    rows = torch.cat([features(100), torch.zeros(100, 1)], 1)
    asked = features(2, seed=1)
    asked = torch.cat([asked, torch.tensor([[0.0], [1e-3]])], 1)
    asked[1, :6] = asked[0, :6]
    detector = Beatrix(width=0.0)
    quiet, stirred = detector.score(detector.fit(view(rows)), view(asked))
    assert quiet < stirred < 1.1 * quiet


def test_small_and_unknown_classes_take_the_bounds_of_all():
    rows, labels = features(100), torch.zeros(100).long()
    labels[:3] = 1
    state = Beatrix().fit(view(rows, labels))
    assert torch.equal(state["medians"][1], state["medians"][2])
    assert not torch.equal(state["medians"][0], state["medians"][2])
    asked = rows[:1].repeat(3, 1) * 9
    scores = Beatrix().score(state, view(asked, torch.tensor([1, 2, 7])))
    assert scores[0] == scores[1] == scores[2] > 0


def test_small_blocks_give_the_same(monkeypatch):
    known, asked = view(features(50)), view(features(20, seed=1) * 4)
    whole = Beatrix().score(Beatrix().fit(known), asked)
    monkeypatch.setattr(beatrix, "ENTRIES", 100)
    torch.testing.assert_close(Beatrix().score(Beatrix().fit(known), asked), whole)


def test_what_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(beatrix, "LARGEST", 10)
    with pytest.raises(CannotJudge, match="fewer features"):
        Beatrix().fit(view(features(5)))
    with pytest.raises(MethodError, match="not be negative"):
        Beatrix(width=-1.0).fit(view(features(5)))
