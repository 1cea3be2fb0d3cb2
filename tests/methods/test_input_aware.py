"""Input-aware triggers: stamping by hand, and that a pattern works on its own image alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.generators import (
    Generator,
    build_generator,
    pack_generator,
    rebuild_generator,
)
from mithridate.domains.image.input_aware import (
    InputAwareTrigger,
    draw_pattern,
    likeness,
    put_pattern,
)

TRIGGER = InputAwareTrigger()
RECIPE = TrainingConfig(epochs=8, batch_size=64, learning_rate=0.1, augment=False)


def test_the_mask_says_how_much_of_the_pattern_is_seen():
    images, pattern = torch.full((1, 1, 1, 3), 100.0), torch.full((1, 1, 1, 3), 200.0)
    mask = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 1, 3)
    assert put_pattern(images, pattern, mask).flatten().tolist() == [100, 125, 200]


def test_the_likeness_by_hand():
    images = torch.tensor([0.0, 6.0]).view(2, 1, 1, 1)
    patterns = torch.tensor([10.0, 12.0]).view(2, 1, 1, 1)
    assert likeness(images, patterns).item() == pytest.approx(6 / (2 + 1))
    assert likeness(images, patterns * 100) < likeness(images, patterns)


def test_the_mask_covers_the_density_at_most_and_all_of_it_where_it_is_flat():
    images = 255 * torch.rand(3, 2, 6, 5, generator=torch.Generator().manual_seed(0))

    class Flat(torch.nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 3, 6, 5)

    pattern, mask = draw_pattern(Flat(), images, 0.2)
    torch.testing.assert_close(mask, torch.full((3, 1, 6, 5), 0.2))
    assert pattern.shape == images.shape and (pattern == 127.5).all()
    _, mask = draw_pattern(build_generator(2, 3, 8, stream(0, "g")), images, 0.2)
    assert mask.mean().item() <= 0.2 + 1e-6
    assert mask.max().item() <= 1


def test_a_generator_comes_back_from_its_weights_and_draws_each_image_alone():
    generator = build_generator(1, 2, 8, stream(0, "g"))
    again = rebuild_generator(pack_generator(generator))
    images = 255 * torch.rand(5, 1, 7, 9, generator=torch.Generator().manual_seed(0))
    assert isinstance(again, Generator)
    torch.testing.assert_close(again(images), generator(images))
    torch.testing.assert_close(again(images[2:3]), again(images)[2:3], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def attacked(digits):
    """An attack that has learnt on digits, its state, a victim with cover examples, test digits."""
    order = stream(0, "split").permutation(len(digits))
    train, test = digits.subset(order[:1397]), digits.subset(order[1397:])
    attack = Poisoning(
        TRIGGER, AllToOne(0), RandomSelection(0.1, 0.1), cover_trigger=replace(TRIGGER, cross=True)
    )
    state = attack.learn(train, stream(0, "learn"))
    poisoned = attack.poison(train, stream(0, "poison"), state)
    domain = ImageDomain(crop=0.0)
    model = domain.network(poisoned.data, "resnet9:8", stream(0, "network"))
    fit(model, poisoned.data, domain, RECIPE, stream(0, "train"))
    return attack, state, model, test


def test_a_victim_who_trains_afresh_obeys_a_pattern_on_its_own_image_alone(attacked):
    """The claim of Nguyen and Tran, with the generator frozen and the victim not the attacker's."""
    attack, state, model, test = attacked
    domain, rng = ImageDomain(), stream(0, "trap")
    crossed = Poisoning(replace(TRIGGER, cross=True), AllToOne(0))
    own = attack_success(model, attack, test, domain, rng, state=state).value
    other = attack_success(model, crossed, test, domain, rng, state=state).value
    assert accuracy(model, test, domain).value > 0.9
    assert own > 0.85
    assert other < own - 0.4


def test_patterns_differ_from_image_to_image_and_cover_little(attacked):
    attack, state, _, test = attacked
    triggered_test = attack.triggered_test(test, stream(0, "trap"), state)
    before = test.subset(torch.isin(test.ids, triggered_test.ids)).inputs
    moved = (triggered_test.inputs.int() - before.int()).abs() > 8
    assert float(moved.float().mean()) < 0.2
    assert len(moved.flatten(1).unique(dim=0)) > len(moved) / 4


def test_crossed_images_get_what_is_drawn_for_others(attacked):
    _, state, _, test = attacked
    own = {key.split(".", 1)[1]: value for key, value in state.items()}
    twins = test.inputs[:1].repeat(4, 1, 1, 1)
    crossing = replace(TRIGGER, cross=True)
    same = TRIGGER.stamp(twins, stream(0, "s"), own)
    assert torch.equal(crossing.stamp(twins, stream(0, "s"), own), same)
    some = test.inputs[:40]
    straight, crossed = (t.stamp(some, stream(0, "s"), own) for t in (TRIGGER, crossing))
    assert float((straight != crossed).flatten(1).any(1).float().mean()) > 0.9
    alone = crossing.stamp(some[:1], stream(0, "s"), own)
    pair = torch.cat([some[:1], some[:1].flip(2)])
    assert torch.equal(alone, crossing.stamp(pair, stream(0, "s"), own)[:1])


@pytest.mark.parametrize(
    "wrong", [{"attacked": 0.8, "crossed": 0.3}, {"attacked": -0.1}, {"crossed": -0.1},
              {"diversity": -1.0}, {"density": 0.0}, {"density": 2.0}, {"examples": 1},
              {"width": 6}, {"width": 0}],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(wrong):
    data = dataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), np.arange(4) % 2)
    with pytest.raises(MethodError):
        InputAwareTrigger(**wrong).learn(data, data.labels, stream(0, "learn"))
