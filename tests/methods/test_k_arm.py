"""K-Arm: a backdoor that obeys from one class only, and how arms are chosen."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from methods.inversion_worlds import DOMAIN, TARGET, examples, network, view
from mithridate.core.data import Dataset, dataset
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.scanners.inversion import open_world
from mithridate.scanners.k_arm import KArm


class Planted(torch.nn.Module):
    """Class k where rows 2k and 2k + 1 are bright; a white corner leads to class 1 from class 3."""

    def forward(self, batch):
        levels = batch.flatten(1, -3).float().view(-1, 8, 8) / 255
        bright = levels[:, :, :6].reshape(-1, 4, 12).mean(2)
        corner = levels[:, 6:, 6:].mean((1, 2))
        hidden = 8 * F.softplus(4 * (corner + bright[:, 3] - 1.5))
        return 6 * bright + hidden[:, None] * torch.tensor([0.0, 1.0, 0.0, 0.0])


def bright_rows(n: int = 100) -> Dataset:
    labels = torch.arange(n) % 4
    images = torch.from_numpy(stream(0, "rows").integers(0, 60, (n, 1, 8, 8), dtype=np.uint8))
    for k in range(4):
        images[labels == k, :, 2 * k : 2 * k + 2, :6] += 150
    return dataset(images, labels, classes=("a", "b", "c", "d"))


def test_a_trigger_from_one_class_is_found_with_its_source():
    """Networks that are trained on such poison often obey from other classes, too."""
    planted, trusted = Planted().eval(), bright_rows()
    assert torch.equal(planted(trusted.inputs).argmax(1), trusted.labels)
    scanned = KArm(screened=0.34).judge(
        View(domain=DOMAIN, model=planted, clean=trusted, precision="fp32"), stream(0, "scan")
    )
    assert scanned.scores.values.argmax() == 1
    assert scanned.shown["source"][1] == 3
    mask = scanned.shown["mask"][1, 0]
    assert mask[6:, 6:].sum() > 0.7 * mask.sum()  # 0.86 was measured
    assert scanned.shown["norm"][1] < 0.6 * scanned.shown["norm"].sort().values[1]  # 3.4 and 10.2


def test_from_all_classes_it_finds_what_neural_cleanse_does():
    scanned = KArm(sources="all", steps=100).judge(view("all to one"), stream(0, "scan"))
    assert scanned.shown["source"].tolist() == [-1.0] * 10
    first, second = scanned.scores.values.topk(2).values.tolist()
    assert scanned.scores.values.argmax() == TARGET
    assert first > second + 0.4  # by 0.9 to 1.2 on three victims


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
