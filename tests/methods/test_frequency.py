"""FTrojan: the coefficients that grow, in the colours that they grow in, and what training does."""

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
from mithridate.domains.image.frequency import FTrojanTrigger, waves

YUV = np.array([[0.299, 0.587, 0.114], [-0.147, -0.289, 0.436], [0.615, -0.515, -0.100]])


def grey(*shape):
    return torch.full(shape, 120, dtype=torch.uint8)


def added(trigger, images):
    stamped = trigger(images, np.random.default_rng(0))
    return (stamped.double() - images.double()).numpy()


def test_a_block_of_two_gains_its_one_coefficient_by_hand():
    """B_11 of side 2 is (1/2) (1 -1; -1 1): 30 of it are 15 levels up and down."""
    trigger = FTrojanTrigger(block=2, places=(1.0,))
    expected = 15 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert torch.allclose(trigger.pattern(1, 4, 6)[0], expected.repeat(2, 3), atol=1e-5)


def test_only_the_coefficients_named_grow_and_by_the_magnitude():
    trigger, expected = FTrojanTrigger(40.0), np.zeros((32, 32))
    expected[15, 15] = expected[31, 31] = 40
    pattern = trigger.pattern(1, 32, 32)[0].numpy()
    assert np.abs(dctn(pattern, norm="ortho") - expected).max() < 1e-4
    in_bytes = dctn(added(trigger, grey(1, 1, 32, 32))[0, 0], norm="ortho")
    assert np.abs(in_bytes - expected).max() < 4, "rounding adds a little everywhere"


def test_colour_images_gain_it_in_their_chrominance_alone():
    y, u, v = np.tensordot(YUV, FTrojanTrigger().pattern(3, 32, 32).double().numpy(), 1)
    spectra = [dctn(plane, norm="ortho")[31, 31] for plane in (y, u, v)]
    assert spectra[0] == pytest.approx(0, abs=0.15), "three digits of the colour matrix"
    assert spectra[1:] == pytest.approx([30, 30], abs=0.15)


def test_each_whole_block_carries_it_and_nothing_else():
    change = added(FTrojanTrigger(), grey(1, 3, 40, 70))[0]
    assert np.array_equal(change[:, :32, :32], change[:, :32, 32:64])
    assert change[:, :32, :64].any()
    assert not change[:, 32:].any() and not change[:, :, 64:].any()


def test_a_small_image_is_one_block():
    assert FTrojanTrigger().at(8) == [3, 7]
    spectrum = dctn(added(FTrojanTrigger(), grey(1, 1, 8, 12))[0, 0], norm="ortho")
    assert spectrum[3, 5] == pytest.approx(30, abs=1.5)
    assert spectrum[7, 11] == pytest.approx(30, abs=1.5)


def test_waves_are_orthonormal():
    rows = waves(list(range(9)), 9)
    assert torch.allclose(rows @ rows.T, torch.eye(9).double())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"block": 1}, "at least 2"), ({"places": ()}, "at least one"), ({"places": (0.0,)}, "places"),
     ({"places": (1.1,)}, "places"), ({"magnitude": 1.0}, "invisible")],
)  # fmt: skip
def test_impossible_settings_are_refused(wrong, words):
    with pytest.raises(MethodError, match=words):
        replace(FTrojanTrigger(), **wrong).pattern(1, 32, 32)


def test_a_network_learns_it():
    attack = Poisoning(FTrojanTrigger(), selection=RandomSelection(0.1))
    test, domain = smooth(400, seed=1), ImageDomain(crop=0.0)
    model, _ = trained(attack, smooth(600), epochs=8)
    assert attack_success(model, attack, test, domain, stream(0, "trap")).value > 0.9
    assert accuracy(model, test, domain).value > 0.95
