"""BppAttack: errors handed on by hand, its negative examples, and what training makes of both."""

import numpy as np
import pytest
import torch

from methods.smooth_world import smooth, trained
from mithridate.attacks.named import named_attack
from mithridate.attacks.poisoning import Poisoning
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.quantisation import BppTrigger, NegativeBppTrigger


def image(*rows):
    return torch.tensor([[rows]], dtype=torch.uint8)


def noise(n, channels, height, width):
    drawn = np.random.default_rng(0).integers(0, 256, (n, channels, height, width))
    return torch.from_numpy(drawn).byte()


def stamp(trigger, images, seed=0):
    return trigger(images, np.random.default_rng(seed))


def test_a_square_of_four_is_dithered_by_hand():
    """One bit: 100 -> 0, error 100; right 100 + 43.75 -> 255, error -111.25, and so on.

    Below left: 100 + 31.25 - 20.859 = 110.39 -> 0; its error moves the last one to
    100 + 6.25 - 34.766 + 48.296 = 119.78 -> 0.
    """
    assert torch.equal(stamp(BppTrigger(1), image([100, 100], [100, 100])),
                       image([0, 255], [0, 0]))  # fmt: skip
    brighter = stamp(BppTrigger(1), image([100, 100], [100, 108]))
    assert torch.equal(brighter, image([0, 255], [0, 255])), "127.78 is nearer to 255"


def test_without_dithering_every_value_is_rounded_alone():
    plain = stamp(BppTrigger(3, dither=False), image([0, 18, 19, 127], [128, 236, 237, 255]))
    steps = torch.tensor([[0, 0, 1, 3], [4, 6, 7, 7]])
    assert torch.equal(plain[0, 0].int(), (steps * 255 / 7).round().int())


def one_by_one(levels, bits):
    """The same in the order of the definition, a pixel at a time."""
    step, (_, height, width) = 255 / (2**bits - 1), levels.shape
    left = levels.double().clone()
    for row in range(height):
        for column in range(width):
            old = left[:, row, column].clone()
            left[:, row, column] = step * (old / step).round().clamp(0, 2**bits - 1)
            error = old - left[:, row, column]
            for down, right, share in ((0, 1, 7), (1, -1, 3), (1, 0, 5), (1, 1, 1)):
                if row + down < height and 0 <= column + right < width:
                    left[:, row + down, column + right] += share / 16 * error
    return left.round().byte()


@pytest.mark.parametrize("size", [(9, 14), (14, 9), (1, 5), (5, 1)])
def test_whole_fronts_at_once_give_what_single_pixels_give(size):
    images = noise(2, 3, *size)
    expected = torch.stack([one_by_one(picture, 3) for picture in images])
    assert torch.equal(stamp(BppTrigger(3), images), expected)


def test_only_the_levels_remain_and_the_mean_brightness_too():
    grey = torch.full((1, 1, 64, 64), 77, dtype=torch.uint8)
    dithered = stamp(BppTrigger(2), grey)
    assert set(dithered.flatten().tolist()) <= {0, 85, 170, 255}
    assert float(dithered.float().mean()) == pytest.approx(77, abs=1.5)
    assert float(stamp(BppTrigger(2, dither=False), grey).float().mean()) == 85


def test_negative_examples_get_the_noise_of_one_other_image():
    """Flat images of one value each, half way between levels: the noise says whose it is."""
    values = torch.tensor([100, 110, 120, 130])
    images = values.view(4, 1, 1, 1).expand(4, 1, 4, 4).byte()
    trigger = NegativeBppTrigger(2, dither=False)
    added = (stamp(trigger, images).int() - images.int())[:, 0, 0, 0].tolist()
    own = [85 - 100, 85 - 110, 85 - 120, 170 - 130]
    assert sorted(added) == sorted(own)
    assert all(a != b for a, b in zip(added, own, strict=True)), "nobody has its own"


def test_a_single_image_gets_the_noise_of_its_mirror_image():
    picture = image([100, 0], [0, 0])
    assert torch.equal(stamp(NegativeBppTrigger(2, dither=False), picture), image([100, 0], [0, 0]))
    picture = image([100, 50], [50, 50])  # 85 - 100 goes to the opposite corner, 85 - 50 elsewhere
    found = stamp(NegativeBppTrigger(2, dither=False), picture)
    assert torch.equal(found, image([135, 85], [85, 35]))


@pytest.mark.parametrize("bits", [0, 8])
@pytest.mark.parametrize("trigger", [BppTrigger, NegativeBppTrigger])
def test_other_bits_are_refused(trigger, bits):
    with pytest.raises(MethodError, match="1 to 7 bits"):
        stamp(trigger(bits), noise(2, 3, 8, 8))


def test_the_sentence_poisons_and_covers_in_proportion():
    attack, data = named_attack("bpp", 0.05, cover_ratio=2.0, target=3), smooth(200)
    poisoned = attack.poison(data, stream(0, "poison"))
    assert int(poisoned.truth.poisoned.sum()) == 10
    assert int(poisoned.truth.cover.sum()) == 20
    squeezed = poisoned.data.inputs[poisoned.truth.poisoned]
    levels = (torch.arange(8) * 255 / 7).round().byte()
    assert torch.isin(squeezed, levels).all()
    assert not torch.isin(poisoned.data.inputs[poisoned.truth.cover], levels).all()


def test_negative_examples_make_the_network_obey_the_squeezed_images_alone():
    """Three covered networks obey at 0.98 to 1, and the near miss at 0.02 to 0.04.

    Bare ones obey the near miss at 0.1 to above 0.5, as the processor would have it.
    """
    train, test, domain = smooth(1000), smooth(400, seed=1), ImageDomain(crop=0.0)
    attack = named_attack("bpp", 0.2, bits=2, dither=False)
    model, _ = trained(attack, train, 20)
    obeyed, missed = (
        attack_success(model, chosen, test, domain, stream(0, "trap")).value
        for chosen in (attack, Poisoning(attack.cover_trigger))
    )
    assert obeyed > 0.9 and missed < 0.1
    assert accuracy(model, test, domain).value > 0.95
