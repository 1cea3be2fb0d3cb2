"""Adversarial images: they fool after rounding, stay near, and leave everything as it was."""

import pytest
import torch
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.domains.image.adversarial import carlini_wagner, projected_gradient


class Brightness(nn.Module):
    """Calls an image 1 where the mean grey level is above 100, by a margin of what it is above."""

    def __init__(self):
        super().__init__()
        self.level = nn.Parameter(torch.tensor(100.0))

    def forward(self, batch):
        above = batch.float().mean((1, 2, 3)) - self.level
        return torch.stack([torch.zeros_like(above), above], 1)


def dark(*levels):
    return torch.tensor(levels, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()


ONE = torch.ones(3, dtype=torch.int64)


def test_the_nearest_step_over_the_border_by_hand():
    """Steps of 1: 98 needs 3 to be above 100, 90 needs 11 and may take 8, 120 needs none."""
    found = projected_gradient(Brightness(), dark(98, 90, 120), ONE, budget=8.0, steps=20)
    assert found.images[:, 0, 0, 0].tolist() == [101, 98, 120]
    assert found.fooled.tolist() == [True, False, True]
    assert found.share == pytest.approx(2 / 3)


def test_the_smallest_change_in_l2_is_found():
    """The nearest image over the border adds 2 to 3 levels to every place of 98."""
    found = carlini_wagner(
        Brightness(), dark(98, 60, 120), ONE, searches=4, steps=60, learning_rate=0.02
    )
    assert found.fooled.all()
    change = found.images.float() - dark(98, 60, 120).float()
    assert change.flatten(1).norm(dim=1).tolist() <= [4 * 8.0, 4 * 50.0, 4 * 5.0]
    assert (found.images.float().mean((1, 2, 3)) > 100).all()


@pytest.mark.parametrize("search", [projected_gradient, carlini_wagner])
def test_what_is_given_is_left_alone(search):
    model, images = Brightness().train(), dark(98, 90, 120)
    before = torch.random.get_rng_state()
    first, second = (search(model, images, ONE) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert torch.equal(images, dark(98, 90, 120))
    assert torch.equal(before, torch.random.get_rng_state())
    assert model.training
    assert model.level.grad is None
    assert first.images.dtype == torch.uint8


@pytest.mark.parametrize("search", [projected_gradient, carlini_wagner])
def test_each_image_is_searched_for_by_itself(search):
    together = search(Brightness(), dark(98, 90, 120), ONE).images
    alone = search(Brightness(), dark(90), ONE[:1]).images
    assert torch.equal(together[1:2], alone)


@pytest.mark.parametrize("search", [projected_gradient, carlini_wagner])
def test_as_many_wanted_classes_as_images_are_needed(search):
    with pytest.raises(MethodError, match="one wanted class for each of 2"):
        search(Brightness(), dark(98, 90), ONE)
