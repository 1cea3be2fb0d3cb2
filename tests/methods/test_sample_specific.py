"""SSBA: bits that are read back, changes that are small and each image's own, one secret string."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.smooth_world import smooth, victim
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.errors import MethodError
from mithridate.core.objective import Batch
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.sample_specific import Hiding, SampleSpecificTrigger


def learn(trigger, data, seed=0):
    return trigger.learn(data, torch.zeros_like(data.labels), np.random.default_rng(seed))


def stamp(trigger, images, state):
    return trigger.stamp(images, np.random.default_rng(0), state)


@pytest.fixture(scope="module")
def learnt():
    """What the defaults learn from 600 images, for a shorter time."""
    return learn(SampleSpecificTrigger(epochs=8), smooth(600))


UNSEEN = smooth(200, seed=1).inputs


class Told(torch.nn.Module):
    """A network that answers as it is told."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, *arguments):
        return self.answer


@pytest.mark.parametrize(
    ("certainty", "expected"),
    [(0.0, np.log(2)), (100.0, 3 * (5 / 10) ** 2), (-100.0, 100.0)],
    ids=["half: K = 0", "all known: K = 1", "all wrong: K = 0"],
)
def test_the_loss_by_hand(certainty, expected):
    """Images change by 5 of 10 grey levels, at a weight of 3, which counts as bits are known."""
    hiding = Hiding(1, 2, bound=10.0, weight=3.0)
    hiding.noise = torch.Generator().manual_seed(7)
    bits = torch.randint(2, (3, 4), generator=torch.Generator().manual_seed(7)).float()
    images = torch.full((3, 1, 8, 8), 100, dtype=torch.uint8)
    hiding.encoder = Told(images.float() + 5)
    hiding.decoder = Told(certainty * (2 * bits - 1))
    nothing = torch.zeros(0)
    loss = hiding(Batch(nothing, nothing, nothing, nothing, nothing, images))
    assert float(loss) == pytest.approx(expected, abs=1e-5)


def test_the_string_is_read_back_from_images_never_seen(learnt):
    for seed in (0, 1, 2):
        trigger = SampleSpecificTrigger(seed=seed)
        read = trigger.read(stamp(trigger, UNSEEN, learnt), learnt)
        assert float((read == trigger.code().bool()).float().mean()) > 0.9
    clean = SampleSpecificTrigger().read(UNSEEN, learnt)
    shares = (clean == SampleSpecificTrigger().code().bool()).float().mean()
    assert 0.3 < float(shares) < 0.7, "what was not written is not there"


def test_changes_are_bounded_hardly_seen_and_each_images_own(learnt):
    changes = (stamp(SampleSpecificTrigger(), UNSEEN, learnt).float() - UNSEEN).flatten(1)
    assert 0 < float(changes.abs().max()) <= 16
    psnr = 10 * np.log10(255**2 / float(changes.square().mean()))
    assert psnr > 30
    alike = torch.nn.functional.cosine_similarity(changes[:100], changes[100:])
    assert float(alike.mean()) < 0.95, "one pattern for all would give 1"
    assert (changes != 0).any(1).all()


def test_other_strings_are_other_changes(learnt):
    first, second = (stamp(SampleSpecificTrigger(seed=s), UNSEEN, learnt) for s in (0, 1))
    assert not torch.equal(first, second)


def test_a_single_image_and_other_sizes_are_no_error(learnt):
    alone = smooth(1)
    state = learn(SampleSpecificTrigger(epochs=1), alone)
    assert stamp(SampleSpecificTrigger(), alone.inputs, state).shape == alone.inputs.shape
    large = smooth(2, side=40).inputs
    assert stamp(SampleSpecificTrigger(), large, learnt).shape == large.shape


@pytest.mark.parametrize(
    "wrong",
    [{"cells": 0}, {"cells": 9}, {"bound": 0.0}, {"weight": -1.0}, {"epochs": 0}],
    ids=str,
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(MethodError, match="need at least one image and epoch"):
        learn(replace(SampleSpecificTrigger(), **wrong), smooth(4))


def test_no_images_and_other_channels_are_refused(learnt):
    with pytest.raises(MethodError, match="0 images"):
        learn(SampleSpecificTrigger(), smooth(4).subset([]))
    with pytest.raises(MethodError, match="learn from such images"):
        stamp(SampleSpecificTrigger(), UNSEEN[:, :1], learnt)


def test_a_network_obeys_the_attackers_string_and_no_other(learnt):
    train, test, domain = smooth(1000), smooth(400, seed=1), ImageDomain(crop=0.0)
    attack = Poisoning(SampleSpecificTrigger(), selection=RandomSelection(0.1))
    others = [Poisoning(SampleSpecificTrigger(seed=seed)) for seed in (1, 2, 3)]
    state = {f"sample-specific-trigger.{name}": value for name, value in learnt.items()}
    model = victim(attack.poison(train, stream(0, "poison"), state).data, epochs=15)

    def success(chosen):
        return attack_success(model, chosen, test, domain, stream(0, "trap"), state=state).value

    assert success(attack) > 0.9
    # strings share bits by chance, and one of them springs it in up to 58 %
    assert sum(map(success, others)) / len(others) < 0.6
    assert accuracy(model, test, domain).value > 0.95
