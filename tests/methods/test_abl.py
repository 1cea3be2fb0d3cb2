"""Anti-backdoor learning: its objectives by hand, and what it isolates and unlearns on digits."""

import pytest
import torch
from torch import nn

from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.objective import Batch
from mithridate.core.streams import stream
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.trainers.abl import AntiBackdoorLearning, ascend, hold_at

ATTACK = Poisoning(PatchTrigger(3, 0, 0, "white"), selection=RandomSelection(0.1))
DOMAIN = ImageDomain(crop=0.0)
PLAIN = AntiBackdoorLearning(
    TrainingConfig(batch_size=64, learning_rate=0.1), gamma=0.0, warmup=0.3
)
"""Digits are few: smaller batches. Stage 1 is ordinary training, at whose end isolation is pure."""


def batch(*losses):
    rows = torch.arange(len(losses))
    return Batch(rows, torch.tensor(losses, requires_grad=True), rows, rows, rows, rows)


@pytest.mark.parametrize(
    "compat, above, below, slopes",
    [
        ("paper", 0.4, -0.2, [-0.5, 0.5]),  # (-0.2 + 1.0) / 2, (-0.1 - 0.3) / 2
        ("batch-mean", 0.6, -0.2, [0.5, 0.5]),
        ("flooding", 0.6, 0.8, [0.5, 0.5]),  # |0.6 - 0.5| + 0.5, |0.2 - 0.5| + 0.5
    ],
)
def test_the_three_forms_by_hand(compat, above, below, slopes):
    objective = hold_at(0.5, compat)
    given = batch(0.2, 1.0)
    value = objective(given).mean()
    assert value.item() == pytest.approx(above)
    assert torch.autograd.grad(value, given.losses)[0].tolist() == pytest.approx(slopes)
    given = batch(0.1, 0.3)
    value = objective(given).mean()
    assert value.item() == pytest.approx(below)
    assert (torch.autograd.grad(value, given.losses)[0] < 0).all(), "low losses are raised"


def test_ascent_raises_losses():
    given = batch(0.2, 1.0)
    slope = torch.autograd.grad(ascend(given).mean(), given.losses)[0]
    assert slope.tolist() == [-0.5, -0.5]


def trained(trainer, data, seed=0):
    model = DOMAIN.network(data, "resnet9:8", stream(seed, "network"))
    return trainer.train(model, data, DOMAIN, stream(seed, "train"))


@pytest.fixture(scope="module")
def halves(digits):
    order = stream(0, "halves").permutation(len(digits))
    return digits.subset(order[:1400]), digits.subset(order[1400:])


@pytest.fixture(scope="module")
def poisoned(halves):
    return ATTACK.poison(halves[0], stream(0, "poison"))


def judged(model, test):
    asr = attack_success(model, ATTACK, test, DOMAIN, stream(0, "test"))
    return accuracy(model, test, DOMAIN).value, asr.value


def test_what_it_isolates_is_poison_and_every_pass_is_counted(poisoned, halves):
    found = trained(PLAIN, poisoned.data)
    isolated = found.notes["isolated"]
    assert isolated.dtype == torch.int64
    assert len(isolated) == 14
    assert poisoned.truth.poisoned[isolated].float().mean() > 0.8
    assert found.losses.shape == (1400, 3 + 7 + 4)
    kept = torch.ones(1400, dtype=torch.bool)
    kept[isolated] = False
    assert (found.losses[isolated, 3:10] == found.losses[isolated, 2:3]).all()
    assert (found.losses[kept, 10:] == found.losses[kept, 9:10]).all()
    assert found.cost["backward"] == 3 * 1400 + 7 * 1386 + 4 * 14
    assert found.cost["forward"] == found.cost["backward"] + 1400
    asr = judged(found.model, halves[1])[1]
    assert asr > 0.9, "four steps at the published rate do not unlearn what nine tenths teach"


def test_a_harder_ascent_has_no_brake(poisoned, halves):
    """The published failure: it unlearns the backdoor, and much else with it."""
    hard = AntiBackdoorLearning(
        PLAIN.training, gamma=0.0, warmup=0.3, ascent_epochs=20, ascent_rate=2e-2
    )
    right, asr = judged(trained(hard, poisoned.data).model, halves[1])
    assert asr < 0.1
    assert right < 0.9


@pytest.mark.parametrize("field", ["warmup", "share"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_shares_must_be_shares(digits, field, value):
    with pytest.raises(MethodError, match=field):
        AntiBackdoorLearning(**{field: value}).train(nn.Identity(), digits, DOMAIN, stream(0))


def test_a_loss_is_not_negative(digits):
    with pytest.raises(MethodError, match="gamma"):
        AntiBackdoorLearning(gamma=-1.0).train(nn.Identity(), digits, DOMAIN, stream(0))


def test_too_few_to_isolate_is_ordinary_training(digits):
    found = trained(AntiBackdoorLearning(TrainingConfig(epochs=2)), digits.subset(range(60)))
    assert len(found.notes["isolated"]) == 0
    assert found.losses.shape == (60, 2)
