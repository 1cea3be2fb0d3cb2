"""Copies of images are found through encoding and resizing; triggers and other images are none."""

import io

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from mithridate.core.streams import stream, torch_generator
from mithridate.domains.image.copies import alike, signature
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger
from mithridate.domains.image.triggers import PatchTrigger, PixelTrigger
from mithridate.pipelines.contents import same_content


@pytest.fixture(scope="module")
def photographs():
    """Smooth colours with edges and grain, uint8[60, 3, 32, 32]."""
    rng = torch_generator(stream(0, "photographs"))
    coarse = F.interpolate(torch.rand(60, 3, 5, 5, generator=rng), 32, mode="bicubic")
    edges = F.interpolate(torch.rand(60, 1, 8, 8, generator=rng).round(), 32, mode="nearest")
    grain = torch.randn(60, 3, 32, 32, generator=rng)
    return (200 * coarse + 40 * edges + 4 * grain).clamp(0, 255).byte()


def encoded(images, quality=75, factor=1.0):
    """The same pictures, resized there and back, as JPEG."""
    copies = []
    for image in images:
        picture = Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy())
        size = picture.size
        picture = picture.resize(tuple(round(factor * side) for side in size)).resize(size)
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        pixels = np.array(Image.open(io.BytesIO(file.getvalue())))
        copies.append(torch.from_numpy(pixels).reshape(*size, -1).permute(2, 0, 1))
    return torch.stack(copies)


def passes(first, second):
    near = np.linalg.norm(signature(first) - signature(second), axis=1) <= 1
    return alike(first, second).numpy() & near


@pytest.mark.parametrize("quality, factor", [(95, 1.0), (75, 1.0), (90, 2.0)])
def test_photographs_are_known_again_when_encoded_and_resized(photographs, quality, factor):
    assert passes(photographs, encoded(photographs, quality, factor)).mean() >= 0.95


def test_digits_are_known_again_when_encoded_and_no_two_of_them_are_copies(digits):
    from mithridate.domains.image.domain import ImageDomain

    assert passes(digits.inputs[:300], encoded(digits.inputs[:300])).mean() >= 0.99
    exact, content = same_content(digits.inputs, ImageDomain())
    assert len(np.unique(exact)) == len(digits)
    assert len(np.unique(content)) == len(digits)


@pytest.mark.parametrize(
    "trigger",
    [PatchTrigger(), PixelTrigger(), BlendTrigger(), SinusoidTrigger()],
    ids=str,
)
def test_a_picture_with_a_trigger_is_another_picture(photographs, trigger):
    stamped = trigger(photographs, stream(0, "trigger"))
    changed = (stamped.int() - photographs.int()).abs().amax((1, 2, 3)) > 50
    assert changed.sum() >= 30 or not isinstance(trigger, PatchTrigger)
    assert not passes(photographs, stamped)[changed.numpy()].any()
    assert passes(photographs, stamped).mean() <= 0.05


def test_flat_pictures_are_copies_only_where_all_bytes_are_equal():
    from mithridate.domains.image.domain import ImageDomain

    rng = torch_generator(stream(0, "flat"))
    flat = torch.randint(120, 124, (40, 1, 28, 28), generator=rng, dtype=torch.uint8)
    flat[39] = flat[0]
    _, content = same_content(flat, ImageDomain())
    assert len(np.unique(content)) == 39
    assert content[39] == content[0]
