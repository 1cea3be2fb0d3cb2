"""The search for a smooth perturbation: its spectrum, its size, and what it gains over chance."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from methods.smooth_world import smooth, trained
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.global_triggers import LowFrequencyTrigger
from mithridate.domains.image.learnt_low_frequency import LearntLowFrequencyTrigger, low_pass


def learn(trigger, data, target=0, seed=0):
    target_labels = torch.full_like(data.labels, target)
    return trigger.learn(data, target_labels, np.random.default_rng(seed))


def test_low_pass_by_hand():
    """Of the columns 3 + 2 sqrt(2) c_1 + 5 c_3 the band of 2 keeps the middle term alone."""
    columns = np.pi * (2 * np.arange(4) + 1) / 8
    first, third = np.cos(columns), np.cos(3 * columns)
    pattern = torch.tensor(3 + 2 * first + 5 * third).expand(1, 6, 4).float()
    expected = torch.tensor(2 * first).expand(1, 6, 4).float()
    assert torch.allclose(low_pass(pattern, 2), expected, atol=1e-5)


def test_what_is_found_lies_in_the_band_and_reaches_the_amplitude():
    found = learn(LearntLowFrequencyTrigger(amplitude=10, band=3), smooth(64))["perturbation"]
    spectrum = dctn(found.double().numpy(), axes=(1, 2), norm="ortho")
    assert np.abs(spectrum[:, 3:]).max() < 1e-3 and np.abs(spectrum[:, :, 3:]).max() < 1e-3
    assert np.abs(spectrum[:, 0, 0]).max() < 1e-3
    assert float(found.abs().max()) == pytest.approx(10)


def test_it_is_added_to_every_image():
    trigger, images = LearntLowFrequencyTrigger(), torch.full((2, 1, 8, 8), 100).byte()
    state = {"perturbation": torch.linspace(-16, 16, 64).view(1, 8, 8)}
    stamped = trigger.stamp(images, np.random.default_rng(0), state)
    assert torch.equal(stamped[0].float(), (100 + state["perturbation"]).round())


def test_each_step_is_towards_the_wanted_class():
    """A surrogate that sums the upper half: the target gains where the upper half is brighter."""
    upper = torch.zeros(2, 64)
    upper[1, :32], upper[0, 32:] = 0.01, 0.01
    surrogate = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2, bias=False))
    surrogate[1].weight.data = upper
    trigger, found = LearntLowFrequencyTrigger(), torch.zeros(1, 8, 8)
    levels = torch.full((5, 1, 8, 8), 120.0)
    for target, sign in ((1, 1), (0, -1)):
        moved = trigger.step(found, surrogate, levels, torch.full((5,), target))
        assert sign * float(moved[0, :4].mean()) > 1 > -1 > sign * float(moved[0, 4:].mean())
        assert float(moved.abs().max()) <= 16


@pytest.mark.parametrize(
    "wrong", [{"amplitude": 0.1}, {"amplitude": 200.0}, {"band": 1}, {"band": 17}], ids=str
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(MethodError, match=r"need an? "):
        learn(replace(LearntLowFrequencyTrigger(), **wrong), smooth(8))


def test_no_images_and_other_sizes_are_refused():
    trigger = LearntLowFrequencyTrigger(steps=1, epochs=1)
    with pytest.raises(MethodError, match="0 images"):
        learn(trigger, smooth(8).subset([]))
    state = learn(trigger, smooth(1))
    with pytest.raises(MethodError, match="learn from such images"):
        trigger.stamp(smooth(1, side=8).inputs, np.random.default_rng(0), state)


def test_poison_takes_that_would_not_with_a_random_pattern_of_the_same_spectrum():
    train, test, domain = smooth(1000), smooth(400, seed=1), ImageDomain(crop=0.0)
    found = {}
    for trigger in (LearntLowFrequencyTrigger(), LowFrequencyTrigger()):
        attack = Poisoning(trigger, selection=RandomSelection(0.1))
        model, state = trained(attack, train, quick=True)
        success = attack_success(model, attack, test, domain, stream(0, "trap"), state=state)
        found[trigger.name()] = success.value
        assert accuracy(model, test, domain).value > 0.9
    assert found["learnt-low-frequency-trigger"] > found["low-frequency-trigger"] + 0.2
