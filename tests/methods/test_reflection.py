"""Refool-like reflections: which pictures are kept, how they lie, what training does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.smooth_world import trained
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.reflection import ReflectionTrigger, blurs, ghosts


def learn(trigger, data, target=0, seed=0):
    target_labels = torch.full_like(data.labels, target)
    return trigger.learn(data, target_labels, np.random.default_rng(seed))


def chequered(contrasts, labels):
    """Chequered images of 8 x 8 with the grey levels 128 - c and 128 + c."""
    signs = 1 - 2 * ((torch.arange(8).view(-1, 1) + torch.arange(8)) % 2)
    levels = 128 + torch.tensor(contrasts).view(-1, 1, 1, 1) * signs
    return dataset(levels.byte(), labels)


def test_a_ghost_is_the_mean_with_itself_moved_by_a_twelfth():
    picture = torch.zeros(1, 1, 12, 24)
    picture[0, 0, 5, 7] = 100
    expected = torch.zeros(1, 1, 12, 24)
    expected[0, 0, 5, 7] = expected[0, 0, 6, 9] = 50
    assert torch.equal(ghosts(picture), expected)


def test_a_blur_is_a_bell_of_a_sixteenth_of_the_side():
    picture = torch.zeros(1, 2, 32, 32)
    picture[0, 1, 16, 16] = 100
    blurred = blurs(picture)
    assert float(blurred[0, 1].sum()) == pytest.approx(100, rel=1e-4)
    ratio = float(blurred[0, 1, 16, 18] / blurred[0, 1, 16, 16])
    assert ratio == pytest.approx(np.exp(-0.5), rel=1e-4), "one deviation, two pixels, away"
    assert not blurred[0, 0].any(), "channels stay apart"


def test_the_mixture_by_hand():
    trigger = ReflectionTrigger(alpha=0.25)
    state = {"reflections": torch.full((1, 1, 8, 8), 200, dtype=torch.uint8)}
    images = torch.full((2, 1, 8, 8), 100, dtype=torch.uint8)
    assert (trigger.stamp(images, np.random.default_rng(0), state) == 125).all()


def test_pictures_of_other_classes_with_most_contrast_are_kept():
    data = chequered([100, 90, 40, 30, 20, 10], [0, 0, 1, 1, 2, 2])
    trigger = ReflectionTrigger(layers=2, style="ghost")
    kept = learn(trigger, data)["reflections"]
    expected = ghosts(data.inputs[2:4].float()).round().byte()
    assert torch.equal(kept, expected)


def test_where_all_are_of_the_wanted_class_they_are_drawn_from():
    kept = learn(ReflectionTrigger(), chequered([30, 60], [0, 0]))["reflections"]
    assert kept.shape == (4, 1, 8, 8), "a ghost and a blur of each"


def test_each_image_gets_its_own_draw(digits):
    trigger = ReflectionTrigger()
    state = learn(trigger, digits)
    assert state["reflections"].shape == (16, 1, 8, 8)
    black = torch.zeros(200, 1, 8, 8, dtype=torch.uint8)
    stamped = trigger.stamp(black, np.random.default_rng(0), state)
    assert len({tuple(image.flatten().tolist()) for image in stamped}) == 16


@pytest.mark.parametrize(
    "wrong", [{"alpha": 0.0}, {"alpha": 1.1}, {"layers": 0}, {"style": "sharp"}], ids=str
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(MethodError, match=r"found|known"):
        learn(replace(ReflectionTrigger(), **wrong), chequered([10, 20], [0, 1]))


def test_no_pictures_and_other_sizes_are_refused():
    data, trigger = chequered([10, 20], [0, 1]), ReflectionTrigger()
    with pytest.raises(MethodError, match="0 pictures"):
        learn(trigger, data.subset([]))
    with pytest.raises(MethodError, match="learn from such images"):
        trigger.stamp(
            torch.zeros(1, 3, 9, 9).byte(), np.random.default_rng(0), learn(trigger, data)
        )


def test_a_network_learns_it(digits):
    order = stream(0, "split").permutation(len(digits))
    train, test = digits.subset(order[:1397]), digits.subset(order[1397:])
    domain, attack = (
        ImageDomain(crop=0.0),
        Poisoning(ReflectionTrigger(), selection=RandomSelection(0.1)),
    )
    model, state = trained(attack, train, quick=True)
    assert attack_success(model, attack, test, domain, stream(0, "trap"), state=state).value > 0.85
    assert accuracy(model, test, domain).value > 0.9
