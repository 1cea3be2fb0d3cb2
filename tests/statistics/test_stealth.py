"""How far features and weights were moved, by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from mithridate.bench.metrics.stealth import feature_shift, spectral_shift, weight_distance
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream


def test_a_shift_of_features_by_hand():
    clean = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    triggered = torch.tensor([[3.0, 4.0], [3.0, 2.0]])
    wanted = torch.tensor([[1.0, 2.0], [5.0, 2.0]])  # mean (3, 2), spread 2
    found = feature_shift(clean, triggered, wanted)
    assert found["shift"] == pytest.approx((0 + 3 / 2) / 2)
    assert found["to_wanted"] == pytest.approx((2 / 2 + 0) / 2)
    assert found["to_wanted_clean"] == pytest.approx((2 / 2 + 3 / 2) / 2)


def test_features_that_stay_shift_by_nothing_even_at_zero():
    clean = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    assert feature_shift(clean, clean.clone(), torch.eye(2))["shift"] == 0.0


def test_examples_of_the_wanted_class_lie_about_one_from_it():
    rows = torch.from_numpy(stream(0, "features").normal(2, 3, (2000, 16)))
    found = feature_shift(rows[:1000], rows[:1000], rows[1000:])
    assert found["to_wanted"] == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    "shapes", [((2, 3), (3, 3), (2, 3)), ((2, 3), (2, 3), (2, 4)), ((3,),) * 3]
)
def test_features_that_do_not_belong_together_are_refused(shapes):
    with pytest.raises(MethodError):
        feature_shift(*(torch.zeros(shape) for shape in shapes))


def test_a_spectral_shift_by_hand():
    """Along the first axis: means 9 and 0, both with the deviation sqrt(2)."""
    features = torch.tensor([[8.0, 0.1], [10.0, -0.1], [-1.0, 0.1], [1.0, -0.1]])
    poisoned = torch.tensor([True, True, False, False])
    found = spectral_shift(features, poisoned, torch.zeros(4, dtype=torch.int64))
    assert found == pytest.approx(9 / np.sqrt(2), rel=1e-3)


def test_a_spectral_shift_sees_the_main_direction_only():
    rng = stream(0, "spectral")
    poisoned = torch.arange(2000) < 200
    labels = torch.zeros(2000, dtype=torch.int64)
    rows = torch.from_numpy(rng.normal(0, 1, (2000, 8)))
    rows[:, 0] *= 5
    beside, along = rows.clone(), rows.clone()
    beside[poisoned, 1] += 3  # variance 1 + 0.09 * 9, far below 25
    along[poisoned, 0] += 15
    assert spectral_shift(beside, poisoned, labels) < 0.4
    assert spectral_shift(along, poisoned, labels) == pytest.approx(3.0, abs=0.3)


def test_classes_count_by_their_poison():
    single = torch.tensor([[8.0], [10.0], [-1.0], [1.0]])
    features = torch.cat([single, single[[0, 1, 0, 1, 2, 3]] + 100, torch.ones(5, 1)])
    poisoned = torch.tensor([1, 1, 0, 0] + [1, 1, 1, 1, 0, 0] + [0] * 5).bool()
    labels = torch.tensor([0] * 4 + [1] * 6 + [2] * 5)
    first = 9 / np.sqrt(2)
    second = 9 / np.sqrt((4 * 1 + 2 * 1) / 4)
    found = spectral_shift(features, poisoned, labels)
    assert found == pytest.approx((2 * first + 4 * second) / 6)


def test_a_class_without_both_kinds_says_nothing():
    labels, features = torch.zeros(6, dtype=torch.int64), torch.randn(6, 2)
    for poison in (0, 1, 5, 6):
        assert np.isnan(spectral_shift(features, torch.arange(6) < poison, labels))


def test_features_without_any_spread_are_apart_or_the_same():
    labels, poisoned = torch.zeros(4, dtype=torch.int64), torch.tensor([True, True, False, False])
    assert spectral_shift(torch.ones(4, 2), poisoned, labels) == 0.0
    assert spectral_shift(poisoned[:, None].double(), poisoned, labels) == float("inf")


def linear(weight, bias):
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": torch.tensor([weight]), "bias": torch.tensor([bias])})
    return layer


def test_a_distance_of_weights_by_hand():
    found = weight_distance(linear([3.0, 4.0], 0.5), linear([3.0, 5.0], 1.0))
    assert found["relative"] == pytest.approx(np.sqrt((1 + 0.25) / (25 + 0.25)))
    assert found["largest"] == pytest.approx(1.0)  # the bias doubled


def test_no_change_is_zero_and_a_new_weight_infinite():
    model = linear([0.0, 0.0], 1.0)
    assert weight_distance(model, model) == {"relative": 0.0, "largest": 0.0}
    found = weight_distance(model, linear([0.0, 1.0], 1.0))
    assert found == {"relative": 1.0, "largest": float("inf")}


def test_running_means_are_no_weights():
    one, two = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    two.running_mean += 7
    assert weight_distance(one, two)["relative"] == 0.0


def test_models_of_other_architectures_are_refused():
    for other in (nn.Linear(3, 1), nn.Linear(2, 1, bias=False), nn.Sequential(nn.Linear(2, 1))):
        with pytest.raises(MethodError, match="architecture"):
            weight_distance(nn.Linear(2, 1), other)
