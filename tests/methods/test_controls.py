"""The controls: whatever the truth is, they score one half, about one half, and one."""

import pytest
import torch

from mithridate.bench.controls import Oracle
from mithridate.core.data import Truth
from mithridate.core.errors import MethodError
from mithridate.core.method import Detector
from mithridate.core.registry import find
from mithridate.core.view import View
from mithridate.detectors.controls import Constant, Random
from mithridate.stats.ranking import auroc, tpr_at_fpr

N = 4000
VIEW = View(labels=torch.zeros(N, dtype=torch.int64))


def truth(share):
    drawn = torch.rand(N, generator=torch.Generator().manual_seed(1)) < share
    return Truth(drawn, torch.zeros_like(drawn), torch.zeros(N, dtype=torch.int64))


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_the_constant_scores_one_half(share):
    scores = Constant().judge(VIEW).values
    assert auroc(scores, truth(share).poisoned) == 0.5
    assert tpr_at_fpr(scores, truth(share).poisoned, 0.05) == 0


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_chance_scores_about_one_half(share):
    poisoned = truth(share).poisoned
    areas = [auroc(Random(seed).judge(VIEW).values, poisoned) for seed in range(20)]
    assert abs(sum(areas) / 20 - 0.5) < 0.03
    assert len(set(areas)) == 20


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_the_oracle_scores_one(share):
    scores = Oracle(truth(share)).judge(VIEW).values
    assert auroc(scores, truth(share).poisoned) == 1
    assert tpr_at_fpr(scores, truth(share).poisoned, 0.01) == 1


def test_the_oracle_refuses_another_data_set():
    with pytest.raises(MethodError, match="4000 examples, but 10 are to be scored"):
        Oracle(truth(0.1)).judge(View(labels=torch.zeros(10, dtype=torch.int64)))


def test_no_user_can_ask_for_the_oracle():
    assert {"constant", "random"} <= set(find(Detector))
    assert "oracle" not in find(Detector)
