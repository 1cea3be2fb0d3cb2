"""Universal perturbations: of a linear model by hand, and of a backdoor and its clean twin."""

import math

import pytest
import torch

from methods.model_to_scan import Linear, pairs, view_of
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.streams import stream
from mithridate.scanners.sources import groups, sources
from mithridate.scanners.universal_transfer import UniversalTransfer

WIDE = UniversalTransfer(size=40 / 255)
"""The trigger covers a seventh of such a small picture."""


def test_a_linear_model():
    """Sixteen equal weights for class 0: every place of 100 moves by 10, up for it, else down."""
    weight = torch.zeros(3, 16)
    weight[0] = 0.1
    scanned = UniversalTransfer(size=10 / 255).judge(view_of(Linear(weight)), stream(0, "scan"))
    up, down = (math.exp(1.6 * value / 255) for value in (110, 90))
    expected = [up / (up + 2), 1 / (2 + down), 1 / (2 + down)]
    assert scanned.scores.values.tolist() == pytest.approx(expected, rel=1e-5)
    pattern = scanned.shown["pattern"].flatten(1)
    assert torch.allclose(pattern[0], torch.full((16,), 10.0), atol=1e-3)
    assert torch.allclose(pattern[1], torch.full((16,), -10.0), atol=1e-3)
    assert scanned.shown["success"].tolist() == [1, 0, 0]


def test_the_class_of_a_backdoor_is_near():
    for suspect, clean in pairs(WIDE):
        assert suspect.argmax() == 0
        assert suspect.max() > clean.max() + 0.03  # 0.07 to 0.24 on three victims


def test_sources_are_of_other_classes_and_never_learnt_from_and_tested_on():
    view = view_of(None, labels=[0, 1, 2, 2] * 20)
    drawn = sources(view, 8, stream(0, "sources"))
    assert drawn.learn.shape == (3, 8)
    assert drawn.held.shape == (3, 16)
    for label in range(3):
        assert (view.clean.labels[drawn.learn[label]] != label).all()
        assert (view.clean.labels[drawn.held[label]] != label).all()
    assert not set(drawn.learn.flatten().tolist()) & set(drawn.held.flatten().tolist())


def test_groups_hold_no_more_than_a_batch():
    from mithridate.core.runtime import Runtime

    assert [len(group) for group in groups(10, 30, Runtime(batch_size=100))] == [3, 3, 3, 1]
    assert [len(group) for group in groups(3, 300, Runtime(batch_size=100))] == [1, 1, 1]


def test_edges():
    model = Linear(torch.rand(3, 16))
    for labels in ([1] * 12, [], [0]):
        with pytest.raises(CannotJudge, match="not of the class it searches for"):
            UniversalTransfer().judge(view_of(model, labels=labels), stream(0, "scan"))
    with pytest.raises(MethodError, match="must be positive"):
        UniversalTransfer(size=0.0).judge(view_of(model), stream(0, "scan"))
    with pytest.raises(CannotJudge, match="gradient"):
        UniversalTransfer().judge(view_of(Linear(torch.zeros(3, 16))), stream(0, "scan"))
