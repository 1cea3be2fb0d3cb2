"""The referee is not trusted because it is ours: planted answers must get what they deserve."""

import numpy as np
import pytest
import torch
from torch import nn

from conformance.worlds import built, domains, labelled
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.controls import Oracle
from mithridate.bench.metrics.evaluate import accuracy, attack_success, detection
from mithridate.core.data import Truth
from mithridate.core.method import Detector, Trigger
from mithridate.core.registry import get
from mithridate.core.streams import stream
from mithridate.core.view import View

N = 2000


@pytest.fixture
def truth(rng):
    poisoned = torch.from_numpy(rng.random(N) < 0.1)
    return Truth(poisoned, torch.zeros(N, dtype=torch.bool), torch.zeros(N, dtype=torch.int64))


@pytest.fixture
def labels(rng):
    return torch.from_numpy(rng.integers(0, 4, N))


def marks(scores, truth, labels):
    found = detection(scores, truth, labels)
    assert set(found) == {"auroc", "auroc_in_class", "tpr_1", "tpr_5"}
    return found


def test_a_constant_detector_scores_one_half(truth, labels):
    scores = get(Detector, "constant").judge(View(labels=labels)).values
    assert marks(scores, truth, labels) == {
        "auroc": 0.5, "auroc_in_class": 0.5, "tpr_1": 0.0, "tpr_5": 0.0,
    }  # fmt: skip


def test_a_detector_of_chance_scores_one_half_on_average(truth, labels):
    found = [
        marks(get(Detector, "random", seed=seed).judge(View(labels=labels)).values, truth, labels)
        for seed in range(60)
    ]
    for metric, expected in (("auroc", 0.5), ("auroc_in_class", 0.5), ("tpr_5", 0.05)):
        values = np.array([f[metric] for f in found])
        assert values.mean() == pytest.approx(expected, abs=4 * values.std() / np.sqrt(60) + 0.002)


def test_shuffled_scores_of_an_oracle_are_worth_nothing(truth, labels, rng):
    shuffled = truth.poisoned[torch.from_numpy(rng.permutation(N))].double()
    assert marks(shuffled, truth, labels)["auroc"] == pytest.approx(0.5, abs=0.06)


def test_an_oracle_scores_one_and_its_opposite_zero(truth, labels):
    scores = Oracle(truth).judge(View(labels=labels)).values
    assert set(marks(scores, truth, labels).values()) == {1.0}
    assert set(marks(-truth.poisoned.double(), truth, labels).values()) == {0.0}


def test_without_poison_there_is_no_mark(labels):
    none = torch.zeros(N, dtype=torch.bool)
    found = marks(torch.rand(N), Truth(none, none, labels), labels)
    assert all(np.isnan(value) for value in found.values())


class Always(nn.Module):
    """Call everything by one name."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.last = answer, nn.Linear(1, 4)

    def forward(self, batch):
        self.last(torch.zeros(len(batch), 1))
        return torch.eye(4)[self.answer].expand(len(batch), 4)


@pytest.mark.parametrize("name", domains())
@pytest.mark.parametrize("answer, success", [(2, 1.0), (1, 0.0)])
def test_attack_success_never_counts_the_target_class(name, answer, success):
    attack = Poisoning(built(Trigger, name)[0], AllToOne(target=2))
    data, domain = labelled(name), domains()[name]
    found = attack_success(Always(answer), attack, data, domain, stream(0, "trap"))
    assert found.value == success
    assert found.n == int((data.labels != 2).sum()) == 30
    clean = accuracy(Always(answer), data, domain)
    assert (clean.value, clean.n) == (0.25, 40)
