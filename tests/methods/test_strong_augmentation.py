"""Strong augmentation: what a strong variation does to bytes and words, and what is trained on."""

import pytest
import torch

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.fit import TrainingConfig
from mithridate.core.streams import stream, torch_generator
from mithridate.domains.catalogue import load_named
from mithridate.domains.image import strong
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.domains.text.domain import TextDomain
from mithridate.domains.text.words import MASK, PADDING
from mithridate.trainers.standard import Standard
from mithridate.trainers.strong_augmentation import StrongAugmentation


def noise(seed=0):
    return torch_generator(stream(seed, "noise"))


def ramp(n=64, side=16):
    row = torch.arange(side, dtype=torch.uint8) * 10 + 20
    return row.view(1, 1, 1, side).repeat(n, 3, side, 1)


def alone(monkeypatch, kind, amount, images):
    """The images after one kind of change of up to an amount, and no hidden square."""
    only = {name: amount if name == kind else 0.0 for name in strong.STRENGTH}
    monkeypatch.setattr(strong, "STRENGTH", only)
    monkeypatch.setattr(strong, "CHANGES", len(only))
    monkeypatch.setattr(strong, "HOLE", 0.0)
    return strong.distort(images, noise())


def test_without_changes_and_square_an_image_stays_byte_by_byte(monkeypatch):
    images = torch.from_numpy(stream(0, "bytes").integers(0, 256, (9, 3, 17, 31))).byte()
    assert torch.equal(alone(monkeypatch, "", 0.0, images), images)


def test_a_grey_image_has_no_colour_to_change_and_gains_none(monkeypatch):
    assert torch.equal(alone(monkeypatch, "colour", 0.9, ramp()), ramp())


def test_brightness_multiplies_by_at_most_its_strength(monkeypatch):
    flat = torch.full((200, 1, 4, 4), 100, dtype=torch.uint8)
    found = alone(monkeypatch, "brightness", 0.4, flat)
    assert 60 <= int(found.min()) < 75
    assert 125 < int(found.max()) <= 140
    assert (found.flatten(1) == found.flatten(1)[:, :1]).all()


def test_levels_are_multiples_of_a_power_of_two(monkeypatch):
    found = alone(monkeypatch, "levels", 4.0, ramp(100)).int()
    steps = [max(s for s in (1, 2, 4, 8, 16) if not (image % s).any()) for image in found]
    assert set(steps) >= {4, 8, 16}


def test_a_shift_moves_columns_and_leaves_rows_alike(monkeypatch):
    found = alone(monkeypatch, "shift across", 0.4, ramp())
    assert torch.equal(found, found[:, :, :1].expand_as(found))
    assert (found != ramp()).flatten(1).any(1).float().mean() > 0.9


def test_the_hidden_square_covers_what_lies_around_its_centre_and_no_more(monkeypatch):
    images = torch.zeros(1, 1, 8, 8)
    images[0, 0, 0, 0] = 64.0
    found = strong._hide(images, torch.tensor([[0.5, 0.5]]))
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[2:6, 2:6] = True
    assert torch.equal(found[0, 0] == 1.0, inside), "the mean is 64 / 64"


@pytest.mark.parametrize("real, hidden", [(0, 0), (1, 0), (2, 1), (4, 2), (10, 3), (16, 5)])
def test_three_tenths_of_the_words_are_hidden_side_by_side(real, hidden):
    batch = torch.zeros(200, 16, dtype=torch.int32)
    batch[:, :real] = 7
    found = TextDomain().distort(batch, noise())
    masked = found == MASK
    assert (masked.sum(1) == hidden).all()
    starts = masked.int().diff(dim=1, prepend=torch.zeros(200, 1, dtype=torch.int32)) == 1
    assert (starts.sum(1) == min(hidden, 1)).all()
    assert torch.equal(found == PADDING, batch == PADDING)
    if hidden:
        assert masked.any(0).sum() == real, "every word is hidden at times"


def test_a_small_trigger_is_learnt_less():
    domain = ImageDomain(crop=0.0)
    data, test = (load_named("digits", split).data for split in ("train", "test"))
    attack = Poisoning(PatchTrigger(1, -1, -1, "white"), AllToOne(0), RandomSelection(0.1))
    poisoned = attack.poison(data, stream(0, "poison")).data
    config = TrainingConfig(
        epochs=6, batch_size=64, learning_rate=0.05, augment=False, precision="fp32"
    )  # half precision is another on each kind of processor
    found = {}
    for trainer in (Standard(config), StrongAugmentation(config)):
        model = domain.network(poisoned, "resnet9:8", stream(0, "network"))
        model = trainer.train(model, poisoned, domain, stream(0, "train")).model
        assert accuracy(model, test, domain).value > 0.9
        found[trainer.name()] = attack_success(model, attack, test, domain, stream(0, "trap"))
    assert found["standard"].low > 0.9
    # 0.73 and 0.80 beside 0.98, on two kinds of processor.
    assert found["strong-augmentation"].high < found["standard"].low - 0.05
