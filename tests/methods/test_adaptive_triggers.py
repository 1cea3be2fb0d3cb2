"""Adaptive-Blend and Adaptive-Patch: triggers by hand, cover in proportion, what training does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.quick_network import quick_network
from mithridate.attacks.named import named_attack
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import CoveredSelection, RandomSelection
from mithridate.bench.metrics.evaluate import attack_success
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.streams import stream
from mithridate.domains.image.adaptive_triggers import UnevenPatchesTrigger
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.global_triggers import BlendTrigger
from mithridate.domains.image.triggers import PatchesTrigger
from mithridate.trainers.standard import Standard

CORNERS = [
    (slice(None), slice(None), slice(row, row + 3), slice(column, column + 3))
    for row in (1, 8)
    for column in (1, 8)
]


def grey(level, *shape):
    return torch.full(shape or (60, 3, 12, 12), level, dtype=torch.uint8)


def stamp(trigger, images, seed=0):
    return trigger(images, np.random.default_rng(seed))


def test_each_square_is_blended_at_its_own_opacity_with_the_bytes_of_the_even_trigger():
    opacities = (1.0, 0.2, 0.5, 0.3)
    opaque = stamp(PatchesTrigger(keep=4, opacity=1.0), grey(100)).float()
    stamped = stamp(UnevenPatchesTrigger(opacities, keep=4), grey(100))
    untouched = stamped.clone()
    for corner, opacity in zip(CORNERS, opacities, strict=True):
        expected = (100 + opacity * (opaque[corner] - 100)).round()
        assert torch.equal(stamped[corner].float(), expected)
        untouched[corner] = 100
    assert torch.equal(untouched, grey(100)), "nothing else has changed"


def test_squares_of_one_opacity_are_the_even_trigger_to_the_bit():
    even = PatchesTrigger(keep=2, opacity=0.4, seed=3)
    uneven = UnevenPatchesTrigger((0.4,) * 4, keep=2, seed=3)
    images = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (40, 3, 12, 15))).byte()
    assert torch.equal(stamp(uneven, images), stamp(even, images))


def carried(stamped):
    """How many of the four squares each image carries, and how many images each square."""
    there = torch.stack([(stamped[c] != 100).flatten(1).any(1) for c in CORNERS])
    return there.sum(0).tolist(), there.sum(1).tolist()


def test_each_image_carries_its_own_one():
    counts, images = carried(stamp(UnevenPatchesTrigger(), grey(100)))
    assert counts == [1] * 60
    assert min(images) > 5


def test_a_square_of_opacity_zero_keeps_its_place_and_is_never_drawn():
    counts, images = carried(stamp(UnevenPatchesTrigger((1.0, 0.0, 1.0, 0.0), keep=2), grey(100)))
    assert counts == [2] * 60
    assert images == [60, 0, 60, 0]
    counts, images = carried(stamp(UnevenPatchesTrigger((1.0, 0.0, 1.0, 0.0), keep=1), grey(100)))
    assert counts == [1] * 60
    assert images[1] == images[3] == 0 < min(images[0], images[2])


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep": 0}, {"keep": 5}, {"opacities": (1.0, 0.0, 0.0), "keep": 2}, {"opacities": ()},
        {"opacities": (0.5, 1.2)}, {"opacities": (0.5, -0.1)}, {"size": 0}, {"size": 9},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_squares_are_refused(wrong):
    with pytest.raises(MethodError, match=r"need|do not fit"):
        stamp(replace(UnevenPatchesTrigger(), **wrong), grey(100))


def test_adaptive_blend_trains_on_half_of_the_pieces_and_tests_with_all():
    attack = named_attack("adaptive-blend")
    assert attack.trigger == BlendTrigger(alpha=0.15, keep=0.5, pieces=4)
    assert attack.test_trigger == BlendTrigger(alpha=0.2)
    assert attack.selection == CoveredSelection(0.003, 1.0)
    full = BlendTrigger(alpha=1.0).picture(1, 16, 16)
    weak = stamp(attack.trigger, grey(0, 9, 1, 16, 16)).float()
    there = weak == (0.15 * full).round()
    pieces = there.view(9, 4, 4, 4, 4).transpose(2, 3).flatten(3).all(3)  # images, down, right
    empty = (weak == 0).view(9, 4, 4, 4, 4).transpose(2, 3).flatten(3).all(3)
    assert (pieces.flatten(1).sum(1) == 8).all() and (empty.flatten(1).sum(1) == 8).all()
    assert len({tuple(p.flatten().tolist()) for p in pieces}) > 1, "each image has its own half"


def test_adaptive_patch_trains_on_one_square_and_tests_with_two_opaque_ones():
    attack = named_attack("adaptive-patch", target=3)
    trained, images = carried(stamp(attack.trigger, grey(100)))
    assert trained == [1] * 60 and min(images) > 5
    sprung = stamp(attack.test_trigger, grey(100))
    opaque = stamp(PatchesTrigger(keep=4, opacity=1.0), grey(100))
    assert torch.equal(sprung[CORNERS[0]], opaque[CORNERS[0]])
    assert torch.equal(sprung[CORNERS[2]], opaque[CORNERS[2]])
    assert carried(sprung)[1] == [60, 0, 60, 0]
    assert attack.goal.target == 3
    assert attack.selection == CoveredSelection(0.003, 2.0)


LABELS = torch.arange(1000) % 10


def choose(selection, labels=LABELS, target=0):
    return selection.choose(labels, torch.full_like(labels, target), stream(0, "choose"))


@pytest.mark.parametrize(
    ("amount", "ratio", "poison", "cover"),
    [(0.01, 1.0, 10, 10), (0.01, 2.0, 10, 20), (40.0, 0.5, 40, 20), (3.0, 0.1, 3, 0),
     (0.0, 5.0, 0, 0), (0.003, 0.4, 3, 1)],
)  # fmt: skip
def test_the_cover_keeps_its_proportion_to_the_poison(amount, ratio, poison, cover):
    chosen = choose(CoveredSelection(amount, ratio))
    assert (len(chosen.poison), len(chosen.cover)) == (poison, cover)
    assert not set(chosen.poison.tolist()) & set(chosen.cover.tolist())


def test_the_poison_is_that_of_a_random_selection():
    chosen = choose(CoveredSelection(0.02, 1.5))
    expected = choose(RandomSelection(0.02, cover=30.0))
    assert torch.equal(chosen.poison, expected.poison)
    assert torch.equal(chosen.cover, expected.cover)
    assert (LABELS[chosen.poison] != 0).all()


def test_a_sweep_over_the_amount_takes_the_cover_along():
    data = dataset(grey(100, 1000, 1, 8, 8), LABELS)
    base = named_attack("adaptive-patch")
    for amount in (0.01, 0.02):
        attack = replace(base, selection=replace(base.selection, poison_rate=amount))
        truth = attack.poison(data, stream(0, "poison")).truth
        assert int(truth.poisoned.sum()) == 1000 * amount
        assert int(truth.cover.sum()) == 2000 * amount


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (CoveredSelection(901.0), "only 900 of 1000"),
        (CoveredSelection(400.0, 2.0), "800 cover examples were asked for and only 600"),
        (CoveredSelection(10.0, -1.0), "cover examples must not be negative"),
        (CoveredSelection(-1.0), "poisoned examples must not be negative"),
    ],
)
def test_more_than_there_is_is_refused(selection, words):
    with pytest.raises(MethodError, match=words):
        choose(selection)


def test_a_network_obeys_the_full_trigger_and_hardly_the_weak_one(digits):
    """The point of cover samples: what is in the training data alone hardly fires."""
    order = stream(0, "split").permutation(len(digits))
    train, test = digits.subset(order[:1397]), digits.subset(order[1397:])
    domain, attack = ImageDomain(crop=0.0), named_attack("adaptive-patch", 0.03)
    poisoned = attack.poison(train, stream(0, "poison"))
    model = quick_network(poisoned.data, stream(0, "network"))
    config = TrainingConfig(
        epochs=20, batch_size=64, learning_rate=0.1, augment=False, precision="fp32"
    )
    Standard(config).train(model, poisoned.data, domain, stream(0, "train"))

    def success(test_trigger):
        sprung = Poisoning(attack.trigger, test_trigger=test_trigger)
        return attack_success(model, sprung, test, domain, stream(0, "trap")).value

    assert success(attack.test_trigger) > 0.5
    assert success(attack.trigger) < 0.3
