"""How far an image was changed: by hand and against a slow literal reference."""

import math

import pytest
import torch

from mithridate.core.errors import DataError
from mithridate.core.streams import stream, torch_generator
from mithridate.domains.image import stealth
from mithridate.domains.image.domain import ImageDomain

DOMAIN = ImageDomain()


def noise(seed, *shape):
    generator = torch_generator(stream(0, "noise", seed))
    return torch.randint(0, 256, shape, generator=generator).byte()


def test_one_byte_by_hand():
    before = torch.zeros(2, 1, 4, 5, dtype=torch.uint8)
    after = before.clone()
    after[1, 0, 2, 3] = 20
    found = DOMAIN.difference(before, after)
    assert found["mse"].tolist() == [0.0, 20.0]  # 400 over 20 bytes
    assert found["linf"].tolist() == [0.0, 20.0]
    assert found["psnr"].tolist() == pytest.approx([100.0, 10 * math.log10(255**2 / 20)])


def test_the_largest_change_in_either_direction():
    black, white = (torch.full((1, 3, 12, 12), value, dtype=torch.uint8) for value in (0, 255))
    for first, second in ((black, white), (white, black)):
        found = DOMAIN.difference(first, second)
        assert found["linf"].item() == 255  # bytes that wrap round would say 1
        assert found["psnr"].item() == pytest.approx(0.0)
        a = (0.01 * 255) ** 2
        assert found["ssim"].item() == pytest.approx(a / (255**2 + a), rel=1e-6)


def test_the_smallest_change_of_a_large_image_is_below_no_change():
    before = torch.zeros(1, 3, 224, 224, dtype=torch.uint8)
    after = before.clone()
    after[0, 0, 0, 0] = 1
    assert 99.9 < DOMAIN.difference(before, after)["psnr"].item() < 100


def literal(first, second):
    """The formula of Wang et al. 2004 window by window, averaged over channels."""
    _, height, width = first.shape
    side = min(11, height, width)
    side -= 1 - side % 2
    half = side // 2
    raw = [
        [math.exp(-(y * y + x * x) / (2 * 1.5**2)) for x in range(-half, half + 1)]
        for y in range(-half, half + 1)
    ]
    weights = torch.tensor(raw, dtype=torch.float64)
    weights /= weights.sum()
    a, b = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    total, windows = 0.0, 0
    for one, two in zip(first.double(), second.double(), strict=True):
        for top in range(height - side + 1):
            for left in range(width - side + 1):
                x = one[top : top + side, left : left + side]
                y = two[top : top + side, left : left + side]
                mx, my = (weights * x).sum(), (weights * y).sum()
                vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                c = (weights * (x - mx) * (y - my)).sum()
                top_part = (2 * mx * my + a) * (2 * c + b)
                total += float(top_part / ((mx**2 + my**2 + a) * (vx + vy + b)))
                windows += 1
    return total / windows


@pytest.mark.parametrize("shape", [(3, 14, 13), (1, 11, 20), (1, 8, 8), (3, 5, 30), (1, 2, 1)])
def test_structural_similarity_is_the_literal_formula(shape):
    before = noise("a", 3, *shape)
    after = before.clone()
    after[0] = noise("b", *shape)
    after[1, :, :2, :2] = 255
    found = DOMAIN.difference(before, after)["ssim"]
    expected = [literal(one, two) for one, two in zip(before, after, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-9)
    assert found[2] == 1.0


def test_an_opposite_structure_has_a_negative_similarity():
    before = noise("c", 1, 1, 16, 16)
    assert DOMAIN.difference(before, 255 - before)["ssim"].item() < -0.5


def test_a_brighter_image_keeps_its_structure_and_a_noisy_one_does_not():
    """At the same mean squared error: what the measure was made for."""
    ramp = torch.arange(40, 200, 5, dtype=torch.uint8).expand(1, 1, 32, 32)
    signs = noise("signs", 1, 1, 32, 32) % 2 * 40
    bright, noisy = ramp + 20, ramp + 20 - signs
    first, second = DOMAIN.difference(ramp, bright), DOMAIN.difference(ramp, noisy)
    assert first["mse"].item() == second["mse"].item() == 400
    assert first["ssim"] > second["ssim"] + 0.2


def test_parts_that_fit_in_memory_change_nothing(monkeypatch):
    before, after = noise("d", 9, 3, 12, 12), noise("e", 9, 3, 12, 12)
    whole = DOMAIN.difference(before, after)
    monkeypatch.setattr(stealth, "CHUNK", 2 * 3 * 12 * 12)
    parts = DOMAIN.difference(before, after)
    assert all(torch.allclose(whole[name], parts[name], rtol=1e-12) for name in whole)
    assert all(len(values) == 0 for values in DOMAIN.difference(before[:0], after[:0]).values())


@pytest.mark.parametrize("shape", [(3, 3, 12, 12), (2, 1, 12, 12), (2, 3, 12, 11)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match="same shape"):
        DOMAIN.difference(torch.zeros(2, 3, 12, 12).byte(), torch.zeros(*shape).byte())
