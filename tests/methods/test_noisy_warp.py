"""The noise mode of WaNet: where pixels are read, and that only the exact warp fires."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.smooth_world import trained
from mithridate.attacks.named import named_attack
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import CoveredSelection, RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.global_triggers import WarpTrigger
from mithridate.domains.image.noisy_warp import NoisyWarpTrigger


def stamp(trigger, images, seed=0):
    return trigger(images, np.random.default_rng(seed))


def ramp(across, down, n=1, height=16, width=24):
    rows, columns = torch.arange(height).view(-1, 1), torch.arange(width)
    return (across * columns + down * rows).byte().expand(n, 1, height, width)


def test_pixels_are_read_at_most_half_a_pixel_from_where_the_warp_reads_them():
    """A ramp of ten levels for each pixel shows the place; noise / size is noise / 2 pixels."""
    for across, down, side in ((10, 0, 24), (0, 10, 16)):
        images = ramp(across, down, n=200)
        warped = stamp(WarpTrigger(), images).float()
        shift = (stamp(NoisyWarpTrigger(), images).float() - warped)[:, 0, 2:-2, 2:-2] / 10
        reach = 0.5 * (side - 1) / side  # a pixel is 2 / (size - 1) of the coordinates
        assert float(shift.abs().max()) <= reach + 0.11, "bytes are a tenth of a pixel"
        assert float(shift.std()) == pytest.approx(reach / np.sqrt(3), rel=0.05), "uniform"
        assert float(shift.mean()) == pytest.approx(0, abs=0.01), "around the warp"


def test_every_image_gets_noise_of_its_own():
    stamped = stamp(NoisyWarpTrigger(), ramp(10, 0, n=3))
    assert not torch.equal(stamped[0], stamped[1])
    assert not torch.equal(stamped[1], stamped[2])


def test_faint_noise_leaves_the_warp():
    images = ramp(7, 3, n=2)
    for seed in (0, 1):
        warp = stamp(WarpTrigger(4, 2.0, seed), images)
        assert torch.equal(stamp(NoisyWarpTrigger(4, 2.0, 1e-6, seed), images), warp)


def test_flat_images_stay_flat():
    grey = torch.full((2, 3, 8, 8), 77, dtype=torch.uint8)
    assert torch.equal(stamp(NoisyWarpTrigger(), grey), grey)


@pytest.mark.parametrize("wrong", [{"noise": 0.0}, {"strength": 0.0}, {"grid": 1}], ids=str)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(MethodError, match="found"):
        stamp(replace(NoisyWarpTrigger(), **wrong), ramp(10, 0))


def test_the_sentence_is_the_warp_under_the_noise_of_the_same_warp():
    attack = named_attack("wanet", 0.1, target=4, strength=1.0)
    assert attack.trigger == WarpTrigger(strength=1.0)
    assert attack.cover_trigger == NoisyWarpTrigger(strength=1.0)
    assert attack.selection == CoveredSelection(0.1, 2.0)
    assert attack.goal.target == 4
    assert attack.test_trigger is None, "the exact warp is what is stamped at test time"


def test_the_noise_mode_keeps_other_warps_from_firing(digits):
    order = stream(0, "split").permutation(len(digits))
    train, test = digits.subset(order[:1397]), digits.subset(order[1397:])
    domain, attack = ImageDomain(crop=0.0), named_attack("wanet", 0.1, strength=2.0)
    bare = Poisoning(attack.trigger, selection=RandomSelection(0.1))
    misses = [Poisoning(attack.cover_trigger), Poisoning(WarpTrigger(strength=2.0, seed=1))]
    found = {}
    for name, chosen in (("noise", attack), ("bare", bare)):
        model, _ = trained(chosen, train)
        found[name] = [
            attack_success(model, a, test, domain, stream(0, "trap")).value
            for a in (attack, *misses)
        ]
        assert accuracy(model, test, domain).value > 0.9
    assert found["bare"][0] > 0.9 and found["bare"][1] > 0.9 and found["bare"][2] > 0.2
    assert found["noise"][0] > 0.5
    assert found["noise"][1] < found["noise"][0] - 0.1 and found["noise"][2] < 0.1
