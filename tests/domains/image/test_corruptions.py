"""Damage to images: values by hand, and what each kind leaves as it was."""

import pytest
import torch

from mithridate.core.errors import MethodError
from mithridate.domains.image.corruptions import CORRUPTIONS, corrupt


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def photograph(n=2, channels=3, side=32):
    """A slope of colours with a bright square."""
    ramp = torch.linspace(20, 180, side)
    images = (ramp.view(side, 1) * 0.5 + ramp * 0.5).expand(n, channels, side, side).clone()
    images[:, 0] *= 0.7
    images[:, :, 4:8, 4:8] = 230
    return images.round().byte()


def test_there_are_ten_kinds_or_more():
    assert len(CORRUPTIONS) >= 10


def test_brightness_contrast_and_saturation_by_hand():
    image = torch.tensor([[10, 50], [30, 50], [90, 250]]).byte().view(1, 3, 1, 2)

    def changed(kind, severity):
        return corrupt(image, kind, severity, source())[0, :, 0].T.tolist()

    assert changed("brightness", 2) == [[36, 56, 116], [76, 76, 255]]  # 25.5 more, 255 at most
    assert changed("contrast", 2) == [[20, 35, 130], [40, 45, 210]]  # half of the way to the means
    # The greys are 130/3 and 350/3, and the way from them is doubled.
    assert changed("saturate", 3) == [[0, 17, 137], [0, 0, 255]]


def test_blurs_keep_flat_images_and_the_sum_of_a_dot():
    flat = torch.full((1, 3, 32, 32), 77).byte()
    dot = torch.zeros(1, 1, 32, 32).byte()
    dot[0, 0, 16, 16] = 255
    for kind in ("gaussian-blur", "defocus-blur"):
        assert torch.equal(corrupt(flat, kind, 5, source()), flat)
        spread = corrupt(dot, kind, 5, source())[0, 0]
        assert int(spread.max()) < 120 and abs(int(spread.int().sum()) - 255) <= 6, kind
        assert torch.equal(spread[15:18, 15:18], spread[15:18, 15:18].T), kind


def test_the_gaussian_blur_by_hand():
    """Width 1 at severity 5: the middle of a dot keeps 1 / (2 pi)."""
    dot = torch.zeros(1, 1, 33, 33).byte()
    dot[0, 0, 16, 16] = 255
    assert int(corrupt(dot, "gaussian-blur", 5, source())[0, 0, 16, 16]) in (38, 39, 40, 41)


def test_noise_has_the_stated_spread():
    grey = torch.full((2, 3, 64, 64), 128).byte()
    noisy = corrupt(grey, "gaussian-noise", 3, source())
    assert float((noisy.float() - 128).std()) == pytest.approx(0.08 * 255, rel=0.03)
    assert torch.equal(noisy[0], noisy[1]), "the same noise for every image"
    shot = corrupt(grey, "shot-noise", 5, source()).float()
    assert float((shot - 128).std()) == pytest.approx((128 * 255 / 50) ** 0.5, rel=0.03)
    dark = corrupt(torch.zeros(1, 3, 64, 64).byte(), "shot-noise", 5, source())
    assert not dark.any(), "no light, no noise"


def test_impulses_hit_the_stated_share_with_black_and_white():
    grey = torch.full((1, 3, 64, 64), 128).byte()
    hit = corrupt(grey, "impulse-noise", 5, source())
    assert set(hit.unique().tolist()) == {0, 128, 255}
    assert float((hit != 128).float().mean()) == pytest.approx(0.07, abs=0.01)


def test_a_small_patch_of_fine_detail_falls_to_blur_and_not_to_brightness():
    """What consistency over kinds of damage relies on."""
    image = photograph(1)
    image[:, :, 28:31, 28:31] = 255 * torch.eye(3).byte()
    square = (slice(None), slice(None), slice(28, 31), slice(28, 31))

    def contrast(kind):
        levels = corrupt(image, kind, 5, source())[square].float()
        return float(levels.max() - levels.min())

    assert contrast("gaussian-blur") < 100 < 170 < contrast("brightness")


def test_fog_keeps_the_brightest_and_takes_contrast():
    image = photograph(1)
    foggy = corrupt(image, "fog", 5, source())
    assert int(foggy.max()) <= int(image.max())
    assert foggy.float().std() < 0.9 * image.float().std()
    assert int(foggy.min()) > int(image.min())


def test_pixelate_leaves_few_values():
    noise = torch.randint(0, 256, (1, 1, 32, 32), generator=source()).byte()
    blocks = corrupt(noise, "pixelate", 5, source())
    same = (blocks[..., 1:] == blocks[..., :-1]).float().mean()
    assert 0.3 < float(same) < 0.45  # 20 of 32 columns, and 12 of 31 neighbours are copies


@pytest.mark.parametrize("kind", CORRUPTIONS)
@pytest.mark.parametrize(
    "shape", [(1, 1, 8, 8), (2, 3, 5, 9), (1, 3, 96, 64), (0, 3, 8, 8)], ids=str
)
def test_every_form_of_image_survives_the_worst(kind, shape):
    images = torch.randint(0, 256, shape, generator=source()).byte()
    assert corrupt(images, kind, 5, source()).shape == shape


def test_global_randomness_is_left_alone():
    before = torch.random.get_rng_state()
    for kind in CORRUPTIONS:
        corrupt(photograph(1), kind, 3, source())
    assert torch.equal(before, torch.random.get_rng_state())


def test_unknown_kinds_and_severities_are_refused():
    with pytest.raises(MethodError, match="available: gaussian-noise"):
        corrupt(photograph(), "rain", 1, source())
    with pytest.raises(MethodError, match="found 6"):
        corrupt(photograph(), "fog", 6, source())
