"""Sharpness-aware fine-tuning: one step by hand, and what it removes that fine-tuning leaves."""

import math

import pytest
import torch
from torch import nn

from methods.test_fine_tuning import Numbers
from methods.victim_to_repair import outcome, repaired, victim
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.repairs.fine_tuning import FineTuning
from mithridate.repairs.ft_sam import SharpnessAwareFineTuning


def test_one_step_by_hand():
    model = nn.Sequential(nn.Linear(1, 2, bias=False))
    model[0].weight.data.zero_()
    view = View(domain=Numbers(), model=model, clean=dataset(torch.ones(10, 1), [0] * 8 + [1] * 2))
    repair = SharpnessAwareFineTuning(
        epochs=1, learning_rate=0.3, batch_size=10, radius=math.sqrt(2)
    )
    result = repair.repair(view, stream(0, "repair"))
    # The gradient (-0.3, 0.3) leads to (-1, 1), where class 0 has a chance of 1 / (1 + e^2).
    gradient = 1 / (1 + math.e**2) - 0.8
    moved = 0.3 * (0.5 / 0.75) * 1.9 * gradient
    target_labels = torch.tensor([[-moved], [moved]])
    torch.testing.assert_close(result[0].weight.detach(), target_labels, rtol=0.01, atol=0)


def test_it_removes_what_fine_tuning_of_the_same_rate_leaves():
    """With two streams three victims keep 0.07 to 0.48 of what fine-tuning leaves whole."""
    before = outcome(victim()[0])
    usual = outcome(repaired(FineTuning(epochs=10, learning_rate=0.02)))
    aware = outcome(repaired(SharpnessAwareFineTuning(learning_rate=0.02, radius=2.0)))
    assert usual.success > 0.9
    assert aware.success < usual.success - 0.2
    assert aware.accuracy > before.accuracy - 0.03


def test_the_backdoor_is_gone_by_default():
    before, after = outcome(victim()[0]), outcome(repaired(SharpnessAwareFineTuning()))
    assert before.success > 0.9
    assert after.success < 0.2
    assert after.accuracy > before.accuracy - 0.04


@pytest.mark.parametrize("radius", [0, -0.1])
def test_a_radius_that_is_none_is_refused(radius):
    with pytest.raises(MethodError, match=f"radius must be positive, found {radius}"):
        repaired(SharpnessAwareFineTuning(radius=radius))
