"""Self-chosen: the candidates, the budget and the backdoors of its own."""

import copy
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import nn

from cli.runs import shapes
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.method import Repair
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.domains.image.domain import ImageDomain
from mithridate.pipelines.repaired import MeasuredRepair
from mithridate.repairs.controls import DoNothing
from mithridate.repairs.self_chosen import SelfChosen, best_of
from mithridate.repairs.stamped_distillation import StampedDistillation

DOMAIN = ImageDomain(crop=0.0)


@cache
def trusted():
    images, labels = shapes(120, 3)
    return dataset(images[:, None], labels, ("a", "b", "c"))


class Scaled(nn.Module):
    def forward(self, batch):
        return batch.float() / 255


@cache
def network():
    """One that knows the shapes."""
    torch.manual_seed(0)
    model = nn.Sequential(
        Scaled(), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 16), nn.ReLU(),
        nn.Linear(16, 3),
    )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        loss = nn.functional.cross_entropy(model(trusted().inputs), trusted().labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def view(domain=DOMAIN):
    return View(None, domain=domain, model=network(), clean=trusted())


@dataclass(frozen=True)
class Among(SelfChosen):
    """Self-chosen among given candidates."""

    given: tuple[Repair, ...] = ()

    def ladder(self):
        return self.given


@dataclass(frozen=True)
class Ruin(Repair):
    """Answer one class for everything."""

    def repair(self, view, rng):
        model = copy.deepcopy(view.model)
        nn.init.zeros_(model[-1].weight)
        return model.eval()


def test_the_harshest_of_those_that_leave_about_as_little_is_taken():
    assert best_of([0.5, 0.02, 0.03, 0.2], 0.02) == 2
    assert best_of([0.5, 0.02, 0.05], 0.02) == 1
    assert best_of([], 0.02) is None


def test_its_own_backdoors_work_before_and_less_after():
    method = Among(planting=100, given=(DoNothing(), StampedDistillation(learning_rate=0.05)))
    choice = method.choose(view(), stream(0, "choose"))
    before, after = (
        choice.own.obeyed(m, trusted(), view(), stream(0, "ask"))
        for m in (choice.own.model, choice.mended)
    )
    worked, left = (sum(rate.value for rate in rates) for rates in (before, after))
    assert len(before) == 2 and worked > 1 and left < worked - 0.5, (worked, left)
    assert isinstance(choice.repair, StampedDistillation) and len(choice.tried) == 2
    assert len(set(choice.own.targets)) == 2


def test_what_costs_more_than_the_budget_ends_the_trials_and_is_not_taken():
    method = Among(planting=9, given=(DoNothing(), Ruin(), StampedDistillation()))
    choice = method.choose(view(), stream(0, "choose"))
    assert isinstance(choice.repair, DoNothing) and len(choice.tried) == 2
    assert choice.tried[1][1] > 0.3 and choice.tried[1][2] is None


def test_where_every_candidate_costs_too_much_nothing_is_done_and_that_is_said():
    found = MeasuredRepair(Among(planting=9, given=(Ruin(),))).repair(network(), trusted(), DOMAIN)
    assert found.undone and found.model is network() and found.damage.fall.value == 0
    assert "cost more than the budget" in found.ended


def test_a_domain_without_triggers_is_repaired_by_accuracy_alone():
    method = Among(planting=100, given=(DoNothing(), StampedDistillation(), Ruin()))
    choice = method.choose(view(ImageDomain(crop=0.0, name="of no folder")), stream(0, "choose"))
    assert choice.own is None and isinstance(choice.repair, StampedDistillation)
    assert "accuracy alone" in choice.described()


def test_what_is_left_of_its_own_backdoors_is_measured_on_what_it_never_saw():
    method = Among(planting=100, given=(DoNothing(),))
    found = MeasuredRepair(method).repair(network(), trusted(), DOMAIN)
    assert not found.undone and found.weak, "doing nothing leaves both"
    for each in found.own:
        assert each.planted.n < len(found.measured) and each.left.value == each.planted.value
        assert each.label in ("a", "b", "c") and each.stamp


def test_what_is_out_of_range_is_refused():
    for wrong in (SelfChosen(budget=-1), SelfChosen(rates=()), SelfChosen(planting=0)):
        with pytest.raises(MethodError):
            wrong.choose(view(), stream(0, "choose"))
    with pytest.raises(MethodError, match="weight"):
        StampedDistillation(weight=2).repair(view(), stream(0, "repair"))
