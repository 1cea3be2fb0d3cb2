"""Sleeper Agent: a gradient by hand, its alignment, and a backdoor that no poison shows."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from methods.small_victim import obeyed, split
from mithridate.attacks.goals import AllToAll, AllToOne
from mithridate.attacks.named import named_attack
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import CleanLabel
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.image.sleeper_agent import SleeperAgentTrigger, gradient
from mithridate.domains.image.surrogate import rebuild_surrogate
from mithridate.domains.image.triggers import PatchesTrigger

PATCH = PatchesTrigger(patches=1, size=4, opacity=1.0)
TRIGGER = SleeperAgentTrigger(budget=80.0, stride=16.0, epochs=5, patch=PATCH)
"""Digits are black and white, so 16 levels are little on them."""


@pytest.fixture(scope="module")
def world(digits):
    """Training data, test data, and what an attack on class 0 learnt from the former."""
    train, test = split(digits)
    attack = Poisoning(TRIGGER, AllToOne(0), CleanLabel(0.09), PATCH)
    return train, test, attack, attack.learn(train, stream(0, "learn"))


def own(state):
    return {key.removeprefix("sleeper-agent-trigger."): value for key, value in state.items()}


def test_the_gradient_of_a_linear_network_by_hand():
    # p = 1/2 for both classes, so the gradient is (p - y) x: -5 and 5, and -1/2 and 1/2
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
    nn.init.zeros_(model[1].weight)
    nn.init.zeros_(model[1].bias)
    levels = torch.tensor([8.0, 12.0]).view(2, 1, 1, 1)
    assert gradient(model, levels, 0).tolist() == [-5.0, 5.0, -0.5, 0.5]
    assert gradient(model, levels, 1).tolist() == [5.0, -5.0, 0.5, -0.5]


def test_the_wanted_gradient_is_that_of_patched_images_of_other_classes(world):
    train = world[0]
    learnt = SleeperAgentTrigger(sources=10_000, epochs=1, patch=PATCH)
    found = learnt.learn(train, torch.zeros_like(train.labels), stream(0, "learn"))
    model = rebuild_surrogate(found, train.inputs, stream(0)).requires_grad_()
    others = PATCH(train.inputs[train.labels != 0], stream(0))
    expected = gradient(model, others.float(), 0)
    torch.testing.assert_close(found["gradient"], expected.detach(), rtol=1e-3, atol=1e-4)


def test_poison_comes_to_have_the_gradient_of_the_backdoor(world):
    train, _, _, state = world
    images = train.inputs[train.labels == 0][:60]
    moved = TRIGGER.stamp(images, stream(0, "stamp"), own(state))
    assert 79 < (moved.int() - images.int()).abs().max() <= 80
    model = rebuild_surrogate(own(state), images, stream(0)).requires_grad_()
    target_labels = own(state)["gradient"]
    before, after = (
        F.cosine_similarity(gradient(model, z.float(), 0), target_labels, 0).item()
        for z in (images, moved)
    )
    assert after > before + 0.2


def test_a_patch_is_obeyed_that_no_training_image_carries(world):
    train, test, attack, state = world
    without = replace(attack, selection=CleanLabel(0.0))
    poisoned, clean = (obeyed(a, train, test, state, "resnet9:4") for a in (attack, without))
    assert poisoned > clean + 0.05


def test_the_sentence_stamps_the_same_patch_later():
    attack = named_attack("sleeper-agent", 0.02, target=3)
    assert attack.trigger == SleeperAgentTrigger()
    assert attack.test_trigger == attack.trigger.patch
    assert (attack.goal, attack.selection) == (AllToOne(3), CleanLabel(0.02))


def test_several_wanted_classes_are_refused(digits):
    with pytest.raises(MethodError, match="one class must be wanted, found 10"):
        Poisoning(TRIGGER, AllToAll()).learn(digits.subset(range(30)), stream(0, "learn"))
