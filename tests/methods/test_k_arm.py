"""K-Arm: a backdoor that obeys from one class only, and how arms are chosen."""

import pytest
import torch

from methods.inversion_worlds import DOMAIN, TARGET, examples, network, view
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.scanners.inversion import open_world
from mithridate.scanners.k_arm import KArm


def test_a_trigger_from_one_class_is_found_with_its_source():
    scanned = KArm(screened=0.34).judge(view("from one"), stream(0, "scan"))
    order = scanned.scores.values.argsort(descending=True)
    assert order[0] == TARGET
    assert scanned.shown["source"][TARGET] == 3
    mask = scanned.shown["mask"][TARGET, 0]
    assert mask[-4:, -4:].sum() > 0.5 * mask.sum()


# the network trained here is another one on some processors, of which this does not hold
@pytest.mark.slow
def test_from_all_classes_it_finds_what_neural_cleanse_does():
    scanned = KArm(sources="all", steps=50).judge(view("from one"), stream(0, "scan"))
    assert scanned.shown["source"].tolist() == [-1.0] * 10
    assert scanned.scores.values.argmax() == TARGET


def test_the_most_valuable_arms_are_pulled_and_some_by_chance():
    arms = KArm(explore=0.5)
    value = torch.tensor([0.1, 0.9, 0.3, 0.8, 0.2])
    drawn = {tuple(arms.choose(value, 3, stream(k, "choose")).tolist()) for k in range(30)}
    assert {first[:2] for first in drawn} == {(1, 3)}
    assert {last for *_, last in drawn} == {0, 2, 4}
    assert KArm(explore=0.0).choose(value, 3, stream(0, "choose")).tolist() == [1, 3, 2]


def test_sources_are_those_with_the_largest_mean_logit():
    """Towards class 0 that is class 1 with 4, towards 1 class 2 with 6, towards 2 class 1."""

    class Table(torch.nn.Module):
        def forward(self, batch):
            rows = torch.tensor([[9.0, 5, 1], [4, 9, 2], [3, 6, 9]])
            return rows[batch.flatten(1)[:, 0].long()]

    with open_world(view("clean")) as world:
        labels = torch.tensor([0, 1, 2])
        inputs = labels.view(3, 1, 1, 1)
        tabled = type(world)(Table(), inputs, labels, world.surface, world.runtime, "fp32")
        sources, aims = KArm(screened=0.5).arms(tabled, 3)
    assert aims.tolist() == [0, 1, 2]
    assert sources.tolist() == [1, 2, 1]


def test_the_budget_is_kept():
    with open_world(view("clean")) as world:
        search, _ = KArm(steps=30).search(world, 10, stream(0, "s"))
    assert 200 < int(search.steps.sum()) <= 300


def test_it_says_why_it_cannot_judge():
    data = examples()
    some = data.subset((data.labels != 4).nonzero().flatten()[:100])
    absent = View(domain=DOMAIN, model=network("clean"), clean=some)
    with pytest.raises(CannotJudge, match="no trusted example of the class 4"):
        KArm().judge(absent, stream(0, "scan"))
    with pytest.raises(CannotJudge, match="no arm succeeded"):
        KArm(steps=1, learning_rate=1e-6, success=1.0).judge(view("clean"), stream(0, "scan"))
    with pytest.raises(MethodError, match="shares"):
        KArm(explore=2.0).judge(view("clean"), stream(0, "scan"))
