"""Fine-tuning: one step by hand, what a backdoor survives, and what is refused."""

import pytest
import torch
from torch import nn

from methods.victim_to_repair import outcome, repaired, victim
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.repairs.fine_tuning import FineTuning


class Numbers:
    """The least domain: inputs are floats already, and nothing varies them."""

    name = "numbers"

    def prepare(self, inputs):
        return inputs

    def augment(self, batch, rng):
        return batch


def test_one_step_by_hand():
    model = nn.Sequential(nn.Linear(1, 2, bias=False))
    model[0].weight.data.zero_()
    clean = dataset(torch.ones(10, 1), [0] * 8 + [1] * 2)
    view = View(domain=Numbers(), model=model, clean=clean)
    result = FineTuning(epochs=1, learning_rate=0.3, batch_size=10).repair(
        view, stream(0, "repair")
    )
    gradient = 0.5 - 0.8  # softmax minus share of the class
    moved = 0.3 * (0.5 / 0.75) * 1.9 * gradient  # half of the cycle is over; Nesterov's 1 + 0.9
    target_labels = torch.tensor([[-moved], [moved]])
    torch.testing.assert_close(result[0].weight.detach(), target_labels, rtol=0.01, atol=0)


def test_it_removes_the_backdoor_at_a_large_rate_and_leaves_it_at_a_small_one():
    """Three victims end at 0.05 to 0.17 with two streams."""
    large = FineTuning(epochs=30, learning_rate=0.2)
    before, after = outcome(victim()[0]), outcome(repaired(large))
    assert before.success > 0.9
    assert after.success < 0.35
    assert after.accuracy > before.accuracy - 0.03
    timid = outcome(repaired(FineTuning(learning_rate=0.001)))
    assert timid.success > 0.9
    assert timid.accuracy > before.accuracy - 0.03


@pytest.mark.parametrize("size", [0, 9])
def test_fewer_than_ten_trusted_examples_are_refused(size):
    clean = victim()[1].subset(range(size))
    with pytest.raises(MethodError, match=f"at least 10 trusted examples, found {size}; trust"):
        repaired(FineTuning(), clean=clean)


@pytest.mark.parametrize("field", ["epochs", "learning_rate", "batch_size"])
@pytest.mark.parametrize("value", [0, -1])
def test_settings_that_train_nothing_are_refused(field, value):
    with pytest.raises(MethodError, match=f"must be positive, found .*{value}"):
        repaired(FineTuning(**{field: value}))
