"""LIRA: noise by hand, its bound in bytes, and that a fresh victim learns it."""

import numpy as np
import pytest
import torch

from methods.quick_network import quick_network
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.objective import Batch
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.lira import Both, LiraTrigger, add_noise

RECIPE = TrainingConfig(epochs=8, batch_size=64, learning_rate=0.1, augment=False)


class Drawn(torch.nn.Module):
    """Draws the same number everywhere."""

    def __init__(self, level):
        super().__init__()
        self.level = torch.nn.Parameter(torch.tensor(float(level)))

    def forward(self, images):
        return self.level * torch.ones_like(images)


def test_noise_by_hand():
    images = torch.tensor([0.0, 100.0, 252.0]).view(1, 1, 1, 3)
    half = float(np.arctanh(0.5))
    assert add_noise(Drawn(half), images, 8.0).flatten().tolist() == pytest.approx([4, 104, 255])
    assert add_noise(Drawn(-99), images, 8.0).flatten().tolist() == pytest.approx([0, 92, 244])


def test_the_grain_makes_noise_smooth_and_keeps_its_mean_by_hand():
    class Chequered(torch.nn.Module):
        def forward(self, images):
            return torch.tensor([[0.0, 2.0], [2.0, 0.0]]).repeat(4, 4).expand_as(images)

    images = torch.full((1, 1, 8, 8), 100.0)
    rough, smooth = (add_noise(Chequered(), images, 10.0, grain) for grain in (1, 4))
    torch.testing.assert_close(smooth, torch.full_like(images, 100 + 10 * float(np.tanh(1.0))))
    assert float(rough.max()) == pytest.approx(100 + 10 * np.tanh(2.0))
    assert float(rough.min()) == 100


def test_the_objective_weighs_clean_against_wanted():
    class Half(torch.nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 2)

    target_labels = torch.ones(4, dtype=torch.int64)
    objective = Both(LiraTrigger(weight=0.25), Drawn(0), Half(), target_labels)
    inputs = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    rows = torch.tensor([3, 1])
    batch = Batch(rows, torch.tensor([1.0, 3.0]), inputs, inputs, rows, inputs)
    assert objective(batch).item() == pytest.approx(0.75 * 2 + 0.25 * np.log(2), rel=1e-4)
    assert [name for name, _ in objective.named_parameters()] == ["generator.level"]


@pytest.fixture(scope="module")
def attacked(digits):
    order = stream(0, "split").permutation(len(digits))
    train, test = digits.subset(order[:1397]), digits.subset(order[1397:])
    attack = Poisoning(LiraTrigger(eps=48.0, grain=2, epochs=8), AllToOne(0), RandomSelection(0.1))
    return attack, attack.learn(train, stream(0, "learn")), train, test


def test_a_victim_who_trains_afresh_learns_the_noise(attacked):
    attack, state, train, test = attacked
    poisoned = attack.poison(train, stream(0, "poison"), state)
    domain = ImageDomain(crop=0.0)
    model = quick_network(poisoned.data, stream(0, "network"))
    fit(model, poisoned.data, domain, RECIPE, stream(0, "train"))
    assert accuracy(model, test, domain).value > 0.9
    assert attack_success(model, attack, test, domain, stream(0, "t"), state=state).value > 0.8


def test_no_pixel_moves_further_than_eps_and_images_get_their_own_noise(attacked):
    attack, state, _, test = attacked
    triggered_test = attack.triggered_test(test, stream(0, "trap"), state)
    before = test.subset(torch.isin(test.ids, triggered_test.ids)).inputs.int()
    noise = triggered_test.inputs.int() - before
    assert 8 < int(noise.abs().max()) <= 48
    free = (before >= 48) & (before <= 207)
    there = torch.where(free, noise, 0).float().std(0)
    assert float(there.max()) > 1, "one noise for all would have no spread where nothing is clipped"


@pytest.mark.parametrize(
    "wrong", [{"eps": 0.0}, {"eps": 300.0}, {"weight": 1.5}, {"weight": -0.1}, {"examples": 0},
              {"width": 3}, {"grain": 0}],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(wrong):
    data = dataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), np.arange(4) % 2)
    with pytest.raises(MethodError):
        LiraTrigger(**wrong).learn(data, data.labels, stream(0, "learn"))
