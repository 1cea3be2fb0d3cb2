"""Fine-pruning: what is cut by hand, that it stays cut, and a backdoor in a sleeping feature."""

import pytest
import torch
from torch import nn

from methods.test_fine_tuning import Numbers
from methods.victim_to_repair import outcome, repaired, victim, view
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.inference import last_linear
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.repairs.fine_pruning import FinePruning, accuracies


def test_accuracy_after_each_cut_by_hand():
    head = nn.Linear(3, 2).double()
    head.weight.data = torch.tensor([[1.0, 0, 0], [0, 2, 4]]).double()
    head.bias.data = torch.tensor([0.5, 0]).double()
    features = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    labels = torch.tensor([0, 1, 1, 0])
    order = torch.tensor([1, 0, 2])
    found = accuracies(features[:, order], labels, head, order)
    # Without feature 1 the second row has the bias alone, and is called 0; feature 0 is not needed.
    assert found.tolist() == [1.0, 0.75, 0.75]


def sleeper(awake=3):
    """A network whose feature 0 sleeps until a trigger, an input of its own, calls for class 1."""
    model = nn.Sequential(nn.Linear(awake + 1, awake + 1), nn.ReLU(), nn.Linear(awake + 1, awake))
    model[0].weight.data = torch.eye(awake + 1)
    model[0].bias.data.zero_()
    model[2].weight.data = torch.cat([torch.zeros(awake, 1), torch.eye(awake)], 1)
    model[2].weight.data[1, 0] = 50.0
    model[2].bias.data.zero_()
    return model


def examples(n=60, awake=3):
    labels = torch.arange(n) % awake
    inputs = torch.zeros(n, awake + 1)
    inputs[torch.arange(n), labels + 1] = 1.0
    return dataset(inputs, labels)


def shown(model, clean=None):
    return View(domain=Numbers(), model=model, clean=clean or examples())


def test_the_sleeping_feature_of_a_backdoor_is_cut_and_no_other():
    model, clean = sleeper(), examples()
    dead = FinePruning(tolerance=0.1).sleeping(shown(model), stream(0, "repair"))
    assert dead.tolist() == [True, False, False, False]
    triggered = clean.inputs.clone()
    triggered[:, 0] = 1
    assert (model(triggered).argmax(1) == 1).all(), "the trigger works before"
    result = FinePruning(tolerance=0.1, learning_rate=0.001).repair(
        shown(model), stream(0, "repair")
    )
    assert (result(triggered).argmax(1) == clean.labels).all()


def test_at_a_tolerance_of_one_the_most_active_feature_is_left():
    model, clean = sleeper(), examples()
    clean.inputs[:, 3] *= 5
    dead = FinePruning(tolerance=1.0).sleeping(shown(model, clean), stream(0, "repair"))
    assert dead.tolist() == [True, True, True, False]


def test_activity_is_a_size_and_not_a_sign():
    model, clean = sleeper(), examples()
    model[1] = nn.Identity()
    clean.inputs[:, 3] *= -5
    dead = FinePruning(tolerance=1.0).sleeping(shown(model, clean), stream(0, "repair"))
    assert dead.tolist() == [True, True, True, False]


def test_what_is_cut_stays_cut_through_the_fine_tuning():
    repair = FinePruning(epochs=3, tolerance=0.3)
    dead = repair.sleeping(view(), stream(0, "repair"))
    result = repaired(repair)
    columns = last_linear(result).weight.detach().abs().sum(0)
    assert 0 < int(dead.sum()) < len(dead)
    assert torch.equal(columns == 0, dead)
    assert (last_linear(victim()[0]).weight.abs().sum(0) > 0).all()


def test_the_backdoor_fades_and_the_accuracy_stays():
    """With two streams this victim keeps 0.12 to 0.16 of it; two others kept 0.21 to 0.97."""
    before, after = outcome(victim()[0]), outcome(repaired(FinePruning(learning_rate=0.2)))
    assert before.success > 0.9
    assert after.success < 0.5
    assert after.accuracy > before.accuracy - 0.04


@pytest.mark.parametrize("tolerance", [-0.1, 1.1])
def test_a_tolerance_out_of_range_is_refused(tolerance):
    with pytest.raises(MethodError, match=f"must lie in 0..1, found {tolerance}"):
        repaired(FinePruning(tolerance=tolerance))


def test_a_last_layer_that_sees_no_vectors_is_refused():
    model = nn.Sequential(nn.Unflatten(1, (2, 2)), nn.Linear(2, 3), nn.Flatten(), nn.Softmax(1))
    with pytest.raises(MethodError, match=r"expected 2 features .* found 4"):
        FinePruning().repair(shown(model), stream(0, "repair"))
