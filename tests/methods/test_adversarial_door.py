"""AdvDoor: what it aims at by hand, and that a network knows the trigger before it is poisoned."""

import pytest
import torch

import mithridate.domains.image.adversarial_door as module
from methods.small_victim import attackers, obeyed, split
from mithridate.attacks.goals import AllToAll, AllToOne, SourceSpecific
from mithridate.attacks.named import named_attack
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.core.data import dataset
from mithridate.core.streams import stream
from mithridate.domains.image.adversarial_door import AdvDoorTrigger
from mithridate.domains.image.surrogate import losses

STRONG = AdvDoorTrigger(budget=32.0, stride=4.0, epochs=5)
"""Digits are black and white, so 8 levels are little on them."""


@pytest.fixture(scope="module")
def world(digits):
    """Training data, test data, and what an attack on class 0 learnt from the former."""
    train, test = split(digits)
    attack = Poisoning(STRONG, AllToOne(0), RandomSelection(0.05))
    return train, test, attack, attack.learn(train, stream(0, "learn"))


def test_the_change_is_added_rounded_and_clipped():
    state = {"change": torch.tensor([[[-8.0, 5.4], [0.0, 8.0]]])}
    images = torch.tensor([[[[3, 100], [7, 250]]]], dtype=torch.uint8)
    stamped = AdvDoorTrigger().stamp(images, stream(0), state)
    assert stamped.flatten().tolist() == [0, 105, 7, 255]


@pytest.mark.parametrize(
    ("goal", "levels", "labels"),
    [
        (AllToOne(0), [10, 20], [0, 0]),
        (AllToAll(), [0, 10, 20], [1, 2, 0]),
        (SourceSpecific(2, 1), [20], [1]),
        (SourceSpecific(1, 1), [0, 10, 20], [0, 1, 2]),
    ],
    ids=str,
)
def test_it_learns_from_the_images_that_are_aimed_at(monkeypatch, goal, levels, labels):
    seen = []
    images = torch.tensor([0, 10, 20], dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 8, 8)

    def spy(_, images, labels, *rest):
        seen.append((images[:, 0, 0, 0].tolist(), labels.tolist()))
        return torch.ones(1, 8, 8)

    monkeypatch.setattr(module, "universal_perturbation", spy)
    data = dataset(images, [0, 1, 2], ("a", "b", "c"))
    Poisoning(AdvDoorTrigger(epochs=1), goal).learn(data, stream(0, "learn"))
    assert seen == [(levels, labels)]


def test_the_network_that_it_is_learnt_from_is_moved_towards_the_wanted_class(world):
    train, test, _, state = world
    others = test.subset(test.labels != 0)
    model, labels = attackers(train, STRONG.epochs), torch.zeros_like(others.labels)
    signs = torch.from_numpy(stream(3).choice([-32.0, 32.0], (1, 8, 8))).float()

    def loss(change):
        return losses(model, STRONG.stamp(others.inputs, stream(0), {"change": change}), labels)

    (change,) = state.values()
    assert 16 < change.abs().max() <= 32
    learnt = loss(change).mean()
    assert learnt < loss(signs).mean() - 1
    assert learnt < loss(torch.zeros(1, 8, 8)).mean() - 3


def test_poison_turns_the_perturbation_into_a_backdoor(world):
    train, test, attack, state = world
    without = Poisoning(STRONG, AllToOne(0), RandomSelection(0.0))
    assert obeyed(attack, train, test, state) > obeyed(without, train, test, state) + 0.3


def test_the_sentence():
    attack = named_attack("adv-door", 0.02, target=4)
    assert attack.trigger == AdvDoorTrigger()
    assert (attack.goal, attack.selection) == (AllToOne(4), RandomSelection(0.02))
