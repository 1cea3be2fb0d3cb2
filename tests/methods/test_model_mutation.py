"""Model mutation: a value by hand, what it sees, early answers, and what it refuses."""

import time

import pytest
import torch
from torch import nn

from methods.guarded_world import adversarial, apart, clean, triggered, trusted
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.streams import stream, torch_generator
from mithridate.core.view import View
from mithridate.detectors.model_mutation import ModelMutation
from mithridate.stats.two_sided import two_sided_surprise


class Head(nn.Module):
    """A model that is its last layer."""

    def __init__(self, weight, turned=False):
        super().__init__()
        self.layer = nn.Linear(*reversed(weight.shape))
        self.layer.weight.data, self.layer.bias.data = weight, torch.zeros(len(weight))
        self.turned = turned

    def forward(self, features):
        logits = self.layer(features)
        return -logits if self.turned else logits


def world(n=400, d=8, c=3, turned=False):
    source = torch.Generator().manual_seed(0)
    features, model = torch.randn(n, d, generator=source), Head(torch.eye(c, d), turned)
    logits = model(features).detach()
    return View(model=model, features=features, logits=logits, labels=logits.argmax(1))


def test_changes_are_those_of_mutants_built_one_by_one():
    view, detector = world(), ModelMutation(mutants=20)
    state = detector.fit(view)
    weight = view.model.layer.weight.detach()
    noise = torch.randn(20, *weight.shape, generator=torch_generator(stream(0, "mutants")))
    changes = torch.zeros(400)
    for mutant in weight + state["sigma"] * weight.std(correction=0) * noise:
        changes += (view.features @ mutant.T).argmax(1) != view.labels
    found = -20 * detector.score(state, view)
    assert ((found - changes > 0) & (found - changes < 1)).all(), "ties are broken within one"
    assert len(found.unique()) > 390


@pytest.mark.parametrize("change", [0.2, 0.4, 0.6])
def test_noise_is_raised_until_trusted_inputs_change_as_often_as_asked_for(change):
    detector, view = ModelMutation(change=change), world()
    share = -detector.score(detector.fit(view), view).mean()
    assert share == pytest.approx(change, abs=0.02)


def test_triggered_inputs_are_stable_and_adversarial_ones_sensitive():
    assert apart(ModelMutation(), triggered()) >= 0.8  # 0.95 to 1 on three victims
    assert apart(ModelMutation(seeks="sensitive"), adversarial()) >= 0.8


def test_either_direction_sees_both_if_less_well():
    either = ModelMutation(seeks="either")
    assert apart(either, triggered()) > 0.55  # 0.59 to 0.75 on three victims
    assert apart(either, adversarial()) > 0.8


def test_few_mutants_tell_many_stable_inputs():
    detector = ModelMutation()
    state = detector.fit(trusted())
    stable, ordinary = (detector.sequential(state, v) for v in (triggered(), clean()))
    assert (stable.answer == -1).double().mean() > 0.1  # 0.22 here, 0.8 and 0.99 on others
    assert stable.used.double().mean() < 0.7 * detector.mutants
    assert (ordinary.answer == -1).double().mean() < (stable.answer == -1).double().mean() / 2


def test_a_guard_costs_little_more_than_the_inference():
    detector, view = ModelMutation(), clean()
    state = detector.fit(trusted())

    def seconds(work):
        began = time.process_time()
        work()
        return time.process_time() - began

    fresh = [View(view._data, domain=view.domain, model=view.model) for _ in range(3)]
    plain = min(seconds(lambda v=v: v.features) for v in fresh)
    assert min(seconds(lambda v=v: detector.score(state, v)) for v in fresh) < 2 * plain


def test_another_seed_draws_other_mutants():
    first, second = (ModelMutation(seed=s) for s in (0, 1))
    a, b = (d.score(d.fit(world()), world()) for d in (first, second))
    assert not torch.equal(a, b)


def test_it_refuses_a_head_that_does_not_decide():
    with pytest.raises(CannotJudge, match="expected 90%"):
        ModelMutation().fit(world(turned=True))


def test_it_refuses_features_that_no_noise_can_move():
    view = world()
    still = View(model=view.model, labels=view.labels, features=torch.zeros(400, 8),
                 logits=torch.zeros(400, 3))  # fmt: skip
    with pytest.raises(CannotJudge, match="no noise makes"):
        ModelMutation().fit(still)


def test_it_refuses_a_model_without_a_linear_layer():
    view = world()
    bare = View(model=nn.ReLU(), labels=view.labels, features=view.features, logits=view.logits)
    with pytest.raises(CannotJudge, match="no linear layer to mutate"):
        ModelMutation().fit(bare)


@pytest.mark.parametrize("wrong", [{"change": 0.0}, {"change": 1.0}, {"mutants": 0}])
def test_impossible_settings_are_named(wrong):
    with pytest.raises(MethodError, match="at least 1 mutant"):
        ModelMutation(**wrong).fit(world())


def test_the_two_sided_tail_by_hand():
    """Of 1..20: 20 and more is the last of 20, 10 is in the middle, and 39 is a range outside."""
    known = torch.arange(1.0, 21.0)
    values, one = torch.tensor([20.0, 10.0, 39.0, 1.0, -18.0]), torch.zeros(5).long()
    found = two_sided_surprise(values, one, known, torch.zeros(20).long())
    last, out = (
        -torch.tensor(4 / 21).log(),
        -torch.tensor(2 / 21).log() + torch.tensor(2.0).log() / 2,
    )
    torch.testing.assert_close(
        found.float(), torch.stack([last, torch.tensor(0.0), out, last, out])
    )


def test_a_class_with_few_trusted_examples_is_compared_with_all():
    known, labels = torch.arange(100.0), (torch.arange(100) < 3).long()
    found = two_sided_surprise(torch.tensor([50.0, 50.0]), torch.tensor([1, 7]), known, labels)
    assert (found < 0.1).all()
