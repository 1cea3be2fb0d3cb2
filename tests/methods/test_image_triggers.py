"""The image triggers: exact pixels, no wrap-around, and how far they stray from the image."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.fft import dctn

from mithridate.core.errors import DataError, MethodError
from mithridate.core.method import Trigger
from mithridate.core.registry import find
from mithridate.domains.image.global_triggers import (
    BlendTrigger,
    LowFrequencyTrigger,
    SinusoidTrigger,
    WarpTrigger,
)
from mithridate.domains.image.triggers import (
    PatchesTrigger,
    PatchTrigger,
    PixelTrigger,
    subsets,
)

TRIGGERS = [
    PixelTrigger(), PatchTrigger(), PatchesTrigger(), PatchesTrigger(keep=4, opacity=1.0),
    BlendTrigger(), BlendTrigger(pattern="smooth", keep=0.5), SinusoidTrigger(),
    WarpTrigger(strength=2.0), LowFrequencyTrigger(),
]  # fmt: skip


def grey(level, *shape):
    return torch.full(shape or (2, 3, 8, 8), level, dtype=torch.uint8)


def photographs(n=8, channels=3, side=32):
    """Smooth random images, near enough to photographs for a signal-to-noise ratio."""
    coarse = torch.rand((n, channels, 4, 4), generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(coarse, side, mode="bicubic", align_corners=True)
    return (30 + 195 * fine.clamp(0, 1)).to(torch.uint8)


def stamp(trigger, images, seed=0):
    return trigger(images, np.random.default_rng(seed))


def psnr(first, second):
    error = (first.double() - second.double()).square().mean()
    return 10 * math.log10(255**2 / float(error))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (8, 13), (28, 28), (33, 20), (224, 224)])
@pytest.mark.parametrize("trigger", TRIGGERS, ids=repr)
def test_bytes_of_the_same_shape_come_out_and_the_argument_is_untouched(trigger, size, channels):
    images = torch.randint(0, 256, (3, channels, *size), dtype=torch.uint8)
    before = images.clone()
    stamped = stamp(trigger, images)
    assert stamped.dtype == torch.uint8
    assert stamped.shape == images.shape
    assert torch.equal(images, before)
    assert all((stamped != images).flatten(1).any(1)), "every image carries the trigger"
    assert torch.equal(stamped, stamp(trigger, images)), "the same stream gives the same bytes"


@pytest.mark.parametrize("trigger", TRIGGERS, ids=repr)
def test_no_images_are_no_error(trigger):
    assert stamp(trigger, grey(0, 0, 3, 16, 16)).shape == (0, 3, 16, 16)


@pytest.mark.parametrize("trigger", TRIGGERS, ids=repr)
def test_what_is_no_image_in_bytes_is_refused(trigger):
    with pytest.raises(DataError, match="uint8"):
        stamp(trigger, torch.rand(2, 3, 16, 16))


def test_every_image_trigger_is_found_by_its_name():
    names = {"pixel", "patch", "patches", "blend", "sinusoid", "warp", "low-frequency"}
    assert {f"{name}-trigger" for name in names} <= set(find(Trigger))


def test_cross_sets_five_pixels_and_no_other():
    stamped = stamp(PixelTrigger(shape="cross", row=1, column=-4, colour=(9, 8, 7)), grey(0))
    expected = grey(0)
    for row, column in ((1, 4), (1, 6), (2, 5), (3, 4), (3, 6)):
        expected[:, :, row, column] = torch.tensor([9, 8, 7], dtype=torch.uint8)
    assert torch.equal(stamped, expected)


def test_checker_is_white_where_row_and_column_are_even_together():
    stamped = stamp(PatchTrigger(size=3, row=-3, column=0), grey(100, 1, 1, 8, 8))
    square = [[255, 0, 255], [0, 255, 0], [255, 0, 255]]
    assert stamped[0, 0, 5:, :3].tolist() == square
    stamped[0, 0, 5:, :3] = 100
    assert torch.equal(stamped, grey(100, 1, 1, 8, 8)), "nothing else has changed"


def test_white_square_is_white():
    stamped = stamp(PatchTrigger(size=2, row=0, column=-2, style="white"), grey(100, 1, 3, 8, 8))
    assert stamped[0, :, :2, 6:].eq(255).all()
    assert int(stamped.eq(255).sum()) == 2 * 2 * 3


def test_blend_is_the_weighted_mean_of_image_and_pattern():
    trigger = BlendTrigger(alpha=0.25)
    pattern = trigger.picture(3, 8, 8)
    assert pattern.min() >= 0 and pattern.max() <= 255 and pattern.std() > 50
    stamped = stamp(trigger, grey(200))
    expected = (0.75 * 200 + 0.25 * pattern).round()
    assert torch.equal(stamped[0].float(), expected)
    # at the ends of the range: black can only rise, white only fall, by a quarter at most
    assert stamp(trigger, grey(0)).max() <= 64
    assert stamp(trigger, grey(255)).min() >= 191


def test_blended_pattern_is_the_seeds_and_not_the_streams():
    assert torch.equal(stamp(BlendTrigger(), grey(90), 0), stamp(BlendTrigger(), grey(90), 1))
    assert not torch.equal(stamp(BlendTrigger(), grey(90)), stamp(BlendTrigger(seed=1), grey(90)))


def test_smooth_pattern_touches_its_sixteen_bytes_and_is_linear_between():
    trigger = BlendTrigger(pattern="smooth")
    coarse, fine = trigger.picture(1, 4, 4)[0], trigger.picture(1, 10, 10)[0]
    assert torch.allclose(fine[::3, ::3], coarse, atol=1e-3)
    assert torch.allclose(fine[0, 1], (2 * coarse[0, 0] + coarse[0, 1]) / 3, atol=1e-3)


def test_kept_pieces_carry_the_pattern_and_the_others_nothing():
    images = grey(0, 64, 1, 8, 8)
    whole = BlendTrigger(alpha=1.0, keep=1.0)
    stamped = stamp(replace(whole, keep=0.5), images)
    cells = stamped.view(64, 4, 2, 4, 2).permute(0, 1, 3, 2, 4).reshape(64, 16, 4)
    pattern = stamp(whole, images).view(64, 4, 2, 4, 2).permute(0, 1, 3, 2, 4).reshape(64, 16, 4)
    carried = (cells == pattern).all(2)
    assert torch.equal(carried, ~(cells == 0).all(2)), "a piece is carried whole or not at all"
    assert carried.sum(1).tolist() == [8] * 64
    share = carried.float().mean(0)  # 64 draws of 1/2: six standard deviations are 0.375
    assert float((share - 0.5).abs().max()) < 0.375
    assert len({tuple(row) for row in carried.tolist()}) > 32, "the pieces differ between images"


def test_subsets_of_fewer_images_nest_in_those_of_more():
    few = subsets(5, 16, 4, np.random.default_rng(0))
    many = subsets(9, 16, 4, np.random.default_rng(0))
    assert torch.equal(few, many[:5])
    assert many.sum(1).tolist() == [4.0] * 9


def test_patches_stand_in_the_four_corners_one_pixel_from_the_edge():
    stamped = stamp(PatchesTrigger(keep=4, opacity=1.0, size=3), grey(0, 1, 3, 12, 12))
    touched = stamped[0].sum(0) > 0
    inside = torch.zeros(12, 12, dtype=torch.bool)
    for row in (1, 8):
        for column in (1, 8):
            inside[row : row + 3, column : column + 3] = True
    assert not (touched & ~inside).any()
    assert int(touched.sum()) > 30, "nearly all of the 36 pixels have changed"


def test_each_image_carries_as_many_patches_as_asked_for_at_their_opacity():
    opaque = PatchesTrigger(keep=4, opacity=1.0, size=3)
    patterns = stamp(opaque, grey(100, 1, 3, 12, 12))[0].float()
    stamped = stamp(replace(opaque, keep=2, opacity=0.5), grey(100, 50, 3, 12, 12))
    expected = (100 + 0.5 * (patterns - 100)).round()
    carried = []
    for rows in (slice(1, 4), slice(8, 11)):
        for columns in (slice(1, 4), slice(8, 11)):
            region = stamped[:, :, rows, columns].float()
            there = (region == expected[:, rows, columns]).flatten(1).all(1)
            assert torch.equal(there, ~(region == 100).flatten(1).all(1))
            carried.append(there)
    counts = torch.stack(carried).sum(0)
    assert counts.tolist() == [2] * 50
    assert all(0 < int(each.sum()) < 50 for each in carried)


def test_sinusoid_adds_its_wave_and_clips_at_white_and_black():
    # frequency 2 on 8 columns: sin(pi j / 2) = 0, 1, 0, -1, ...
    trigger = SinusoidTrigger(delta=20, frequency=2)
    assert stamp(trigger, grey(100))[1, 2, 5].tolist() == [100, 120, 100, 80] * 2
    assert stamp(trigger, grey(250))[0, 0, 0].tolist() == [250, 255, 250, 230] * 2
    assert stamp(trigger, grey(5))[0, 0, 0].tolist() == [5, 25, 5, 0] * 2
    # frequency 1 on 12 columns: 20 sin(30 degrees) = 10, 20 sin(60 degrees) = 17.3
    twelve = stamp(SinusoidTrigger(delta=20, frequency=1), grey(100, 1, 1, 8, 12))
    assert twelve[0, 0, 0].tolist() == [100, 110, 117, 120, 117, 110, 100, 90, 83, 80, 83, 90]


def test_warp_reads_a_ramp_where_its_places_say():
    """Bilinear reading is exact on a linear image: x(i, j) = 3 i + 5 j."""
    trigger = WarpTrigger(grid=4, strength=3.0)
    rows, columns = torch.arange(16.0).view(-1, 1), torch.arange(24.0)
    ramp = (3 * rows + 5 * columns).to(torch.uint8).view(1, 1, 16, 24)
    places = trigger.places(16, 24)[0]
    across, down = (places[..., 0] + 1) / 2 * 23, (places[..., 1] + 1) / 2 * 15
    expected = 3 * down + 5 * across
    assert (expected - ramp[0, 0]).abs().max() > 3, "the warp moves something"
    error = (stamp(trigger, ramp)[0, 0] - expected).abs().max()
    assert float(error) <= 0.501, "within rounding to bytes"


def test_warp_shifts_by_half_its_strength_on_average():
    """On a lattice of the image's size nothing is interpolated, and P is divided by mean |P|."""
    still = torch.linspace(-1, 1, 32)
    shifts = WarpTrigger(grid=32, strength=0.5).places(32, 32)[0, :, 1:-1, 0] - still[1:-1]
    pixels = shifts * 31 / 2
    assert float(pixels.abs().mean()) == pytest.approx(0.5 * 31 / 32 / 2, rel=0.05)
    assert float(pixels.abs().max()) <= 0.52, "|P| <= 1 and mean |P| is about a half"


def test_warp_shifts_rows_and_columns_of_an_oblong_image_alike():
    """`strength` P / size in coordinates of width 2 is about `strength` P / 2 pixels either way."""
    flat = torch.stack([WarpTrigger(seed=seed).places(20, 80)[0] for seed in range(200)])
    across = (flat[..., 0] - torch.linspace(-1, 1, 80))[:, 1:-1, 1:-1] * 79 / 2
    down = (flat[..., 1] - torch.linspace(-1, 1, 20).view(-1, 1))[:, 1:-1, 1:-1] * 19 / 2
    assert float(across.abs().mean() / down.abs().mean()) == pytest.approx(1, abs=0.15)


def test_warps_of_other_seeds_are_other_warps():
    assert not torch.equal(WarpTrigger().places(8, 8), WarpTrigger(seed=1).places(8, 8))


def test_warp_leaves_flat_images_flat():
    assert torch.equal(stamp(WarpTrigger(strength=4.0), grey(77)), grey(77))


def test_low_frequency_perturbation_follows_its_formula():
    trigger = LowFrequencyTrigger(amplitude=10, band=3)
    pattern = trigger.perturbation(2, 8, 12).double().numpy()
    spectrum = dctn(pattern, axes=(1, 2), norm="ortho")
    assert np.abs(spectrum[:, 3:]).max() < 1e-4 and np.abs(spectrum[:, :, 3:]).max() < 1e-4
    assert np.abs(spectrum[:, 0, 0]).max() < 1e-4, "the mean brightness stays"
    assert np.abs(spectrum[:, :3, :3]).max() > 1
    assert np.abs(pattern).max() == pytest.approx(10)


def test_low_frequency_trigger_adds_its_perturbation_and_clips():
    trigger = LowFrequencyTrigger(amplitude=30)
    pattern = trigger.perturbation(3, 8, 8)
    assert torch.equal(stamp(trigger, grey(100))[0].float(), (100 + pattern).round())
    assert torch.equal(stamp(trigger, grey(250))[0].float(), (250 + pattern).round().clamp(max=255))
    assert torch.equal(stamp(trigger, grey(3))[0].float(), (3 + pattern).round().clamp(min=0))


@pytest.mark.parametrize("level", [0, 1, 254, 255])
@pytest.mark.parametrize("trigger", TRIGGERS[4:], ids=repr)
def test_no_byte_wraps_around(trigger, level):
    """A byte that wrapped would jump from one end of the range to the other."""
    change = stamp(trigger, grey(level, 2, 3, 32, 32)).int() - level
    bound = 0.2 * 255 + 1 if isinstance(trigger, BlendTrigger) else 20
    assert int(change.abs().max()) <= bound


def test_faint_triggers_are_as_faint_as_their_size_says():
    images = photographs()
    noise = {alpha: psnr(images, stamp(BlendTrigger(alpha=alpha), images)) for alpha in (0.1, 0.2)}
    assert noise[0.1] - noise[0.2] == pytest.approx(20 * math.log10(2), abs=0.2)
    # the mean square of a wave of amplitude 20 is 200
    assert psnr(images, stamp(SinusoidTrigger(), images)) == pytest.approx(25.1, abs=0.2)
    assert psnr(images, stamp(LowFrequencyTrigger(), images)) > 10 * math.log10(255**2 / 16**2)
    assert psnr(images, stamp(WarpTrigger(), images)) > 30
    assert psnr(images, stamp(WarpTrigger(strength=4.0), images)) < psnr(
        images, stamp(WarpTrigger(), images)
    )


def test_large_sets_are_changed_in_parts_with_the_same_result():
    images = torch.randint(0, 256, (1030, 1, 8, 8), dtype=torch.uint8)
    for trigger in (BlendTrigger(), SinusoidTrigger(), WarpTrigger(), LowFrequencyTrigger()):
        assert torch.equal(stamp(trigger, images)[1020:], stamp(trigger, images[1020:]))
    halves = stamp(BlendTrigger(keep=0.5), images)
    assert torch.equal(halves[:40], stamp(BlendTrigger(keep=0.5), images[:40]))
    flat = stamp(BlendTrigger(keep=0.5), grey(90, 1030, 1, 8, 8))
    assert not torch.equal(flat[1024:], flat[:6]), "each part has pieces of its own"


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        (PixelTrigger(shape="star"), "unknown shape 'star'"),
        (PixelTrigger(row=-1), "leaves the image"),
        (PixelTrigger(row=40), "leaves the image"),
        (PixelTrigger(colour=(256, 0, 0)), "0..255"),
        (PatchTrigger(style="grey"), "unknown style 'grey'"),
        (PatchTrigger(size=9), "leaves the image"),
        (PatchTrigger(row=-2), "leaves the image"),
        (PatchTrigger(size=0), "leaves the image"),
        (PatchesTrigger(keep=5), "keep <= patches"),
        (PatchesTrigger(size=4), "do not fit"),
        (PatchesTrigger(patches=9), "do not fit"),
        (BlendTrigger(alpha=0.0), "alpha"),
        (BlendTrigger(keep=0.01), "at least one piece"),
        (BlendTrigger(pattern="kitty"), "unknown pattern 'kitty'"),
        (SinusoidTrigger(frequency=4), "invisible"),  # zero on each of 8 columns
        (SinusoidTrigger(delta=0.1), "invisible"),
        (WarpTrigger(grid=1), "grid of at least 2"),
        (WarpTrigger(strength=0), "positive strength"),
        (LowFrequencyTrigger(band=9), r"2\.\.8"),
        (LowFrequencyTrigger(band=1), "band 1"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(trigger, said):
    with pytest.raises(MethodError, match=said):
        stamp(trigger, grey(0, 1, 3, 8, 8))


def test_patches_of_any_number_fit_or_say_so():
    for patches in range(1, 17):
        trigger = PatchesTrigger(patches=patches, keep=patches, size=2, opacity=1.0)
        stamped = stamp(trigger, grey(0, 1, 3, 16, 16))
        pixels = int((stamped[0].sum(0) > 0).sum())
        assert 4 * patches - 2 <= pixels <= 4 * patches, "no two patches overlap"


@pytest.mark.parametrize(
    "trigger", [PatchTrigger(), BlendTrigger(), SinusoidTrigger(), LowFrequencyTrigger()], ids=repr
)
def test_a_linear_model_can_tell_stamped_images_from_others(trigger):
    """A trigger that no model can learn is no trigger."""
    images = photographs(600, 1, 16)
    labels = torch.arange(600) % 2
    stamped = images.clone()
    stamped[labels == 1] = stamp(trigger, images[labels == 1])
    rows = torch.cat([stamped.flatten(1).double() / 255, torch.ones(600, 1)], 1).double()
    target_labels = 2.0 * labels.double() - 1
    ridge = rows[:400].T @ rows[:400] + 1e-3 * torch.eye(rows.shape[1])
    weights = torch.linalg.solve(ridge, rows[:400].T @ target_labels[:400])
    right = (rows[400:] @ weights).sign() == target_labels[400:]
    assert float(right.double().mean()) > 0.8
