"""Shared adversarial unlearning: its terms by hand, what misleads alike, a backdoor unlearnt."""

import math

import pytest
import torch

from methods.victim_to_repair import outcome, repaired, victim
from mithridate.core.errors import MethodError
from mithridate.repairs.sau import SharedAdversarialUnlearning, shared_loss, shared_misleading


def test_the_shared_term_by_hand():
    logits = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])  # 3/4 and 1/4
    found = shared_loss(logits, torch.tensor([0, 0]), torch.tensor([1, 0]))
    assert found.tolist() == pytest.approx([-math.log(1 / 4), 0.0])


def test_the_shared_term_has_a_gradient_where_the_network_is_sure():
    logits = torch.tensor([[200.0, 0.0]], requires_grad=True)
    loss = shared_loss(logits, torch.tensor([0]), torch.tensor([1]))
    (slope,) = torch.autograd.grad(loss.sum(), logits)
    assert slope.tolist()[0] == pytest.approx([1.0, -1.0])
    assert loss.tolist()[0] == pytest.approx(200.0)


def test_what_is_climbed_by_hand():
    even, sure = torch.zeros(1, 2), torch.tensor([[math.log(3.0), 0.0]])
    label = torch.tensor([1])
    same = shared_misleading(sure, sure, label, 0.5)
    assert same.tolist() == pytest.approx([0.5 * math.log(4)])
    middle = (5 / 8, 3 / 8)
    apart = sum(
        share * math.log(share / mean) / 2
        for pair in ((1 / 2, 1 / 2), (3 / 4, 1 / 4))
        for share, mean in zip(pair, middle, strict=True)
    )
    wrong = (math.log(2) + math.log(4)) / 2
    assert shared_misleading(even, sure, label, 0.5).tolist() == pytest.approx(
        [0.5 * wrong - apart]
    )


def test_it_unlearns_a_backdoor():
    """By a wider perturbation: the trigger is 2.5 deviations from the pixels that it covers."""
    wide = SharedAdversarialUnlearning(radius=1.5, learning_rate=0.03, unlearn=0.5)
    before, after = outcome(victim()[0]), outcome(repaired(wide))
    assert before.success > 0.9
    assert after.success < 0.2
    assert after.accuracy > before.accuracy - 0.05


def test_edges():
    _, trusted = victim()
    for size in (0, 9):
        with pytest.raises(MethodError, match=f"found {size}"):
            repaired(SharedAdversarialUnlearning(), clean=trusted.subset(range(size)))
    with pytest.raises(MethodError, match="not be negative"):
        repaired(SharedAdversarialUnlearning(unlearn=-1.0))
    one_class = trusted.subset(trusted.labels == 1)
    one = repaired(SharedAdversarialUnlearning(epochs=1), clean=one_class)
    assert all(bool(torch.isfinite(value).all()) for value in one.state_dict().values())
