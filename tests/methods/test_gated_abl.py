"""Gated anti-backdoor learning: its questions by hand, what it unlearns, and when it holds back."""

import math

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
from mithridate.core.training_run import TrainingRun
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.trainers.abl import Isolated
from mithridate.trainers.gated_abl import GatedAntiBackdoorLearning, find_concentrated
from mithridate.trainers.stages import Course, Groups, apart
from mithridate.trainers.standard import Standard

ATTACK = Poisoning(PatchTrigger(3, 0, 0, "white"), selection=RandomSelection(0.1))
DOMAIN = ImageDomain(crop=0.0)
RECIPE = TrainingConfig(batch_size=64, learning_rate=0.1)
BOTH = [GatedAntiBackdoorLearning(RECIPE, batch_size=32, then=t) for t in ("ascend", "retrain")]


def test_concentration_by_hand():
    labels = torch.arange(10).repeat(2)
    assert find_concentrated(labels[[3, 13]], labels, 10, 0.06) == 3  # 10 / C(20, 2) = 0.053
    assert find_concentrated(labels[[3, 13]], labels, 10, 0.05) is None
    assert find_concentrated(labels[[3, 13, 4, 5]], labels, 10, 0.5) is None, "no class has most"
    assert find_concentrated(labels[:0], labels, 10, 0.5) is None


def test_suspects_are_the_early_ones_of_the_class():
    labels = torch.tensor([0] * 8 + [1] * 20)
    losses = torch.cat([torch.arange(8) * 0.1, torch.full((20,), 0.25)])
    isolated = torch.tensor([0, 1, 2])  # 2 * C(8, 3) / C(28, 3) = 0.034
    found = Isolated(isolated, torch.arange(3, 28), losses)
    method = GatedAntiBackdoorLearning(level=0.05)
    assert method.suspects(found, labels, 2).tolist() == [0, 1, 2]
    later = found._replace(losses=torch.cat([torch.arange(8) * 0.1, torch.full((20,), 9.0)]))
    assert method.suspects(later, labels, 2).tolist() == [0, 1, 2, 3, 4, 5], "three quarters"
    small = GatedAntiBackdoorLearning(level=0.05, enlarged=False)
    assert small.suspects(later, labels, 2).tolist() == [0, 1, 2]
    assert len(GatedAntiBackdoorLearning(level=0.01).suspects(found, labels, 2)) == 0


def test_learning_apart_by_hand():
    """Of two classes with p(y) = 3/4: -log p for the first row, -log(1 - p) for the second."""
    logits = torch.tensor([[math.log(3.0), 0.0]] * 2)
    labels, losses = torch.tensor([0, 0]), torch.full((2,), math.log(4 / 3))
    batch = Batch(torch.tensor([5, 2]), losses, logits, logits, labels, logits)
    suspect = torch.tensor([False, False, True, False, False, False])
    expected = torch.tensor([math.log(4 / 3), math.log(4.0)])
    torch.testing.assert_close(apart(suspect)(batch), expected)


@pytest.fixture(scope="module")
def halves(digits):
    order = stream(0, "halves").permutation(len(digits))
    return digits.subset(order[:1400]), digits.subset(order[1400:])


def trained(trainer, data, seed=0):
    model = DOMAIN.network(data, "resnet9:8", stream(seed, "network"))
    return trainer.train(model, data, DOMAIN, stream(seed, "train"))


def judged(model, test):
    asr = attack_success(model, ATTACK, test, DOMAIN, stream(0, "test"))
    return accuracy(model, test, DOMAIN).value, asr.value


@pytest.fixture(scope="module")
def attacked(halves):
    """Poisoned digits, and what ordinary training makes of them: accuracy and ASR."""
    poisoned = ATTACK.poison(halves[0], stream(0, "poison"))
    return poisoned, judged(trained(Standard(RECIPE), poisoned.data).model, halves[1])


@pytest.mark.parametrize("method", BOTH, ids=lambda m: m.then)
def test_the_backdoor_goes_and_the_accuracy_stays(method, attacked, halves):
    """Over six draws of poison, five were acted on, with an ASR of 0 to 13 % left, one was not."""
    poisoned, (right, asr) = attacked
    assert asr > 0.9
    found = trained(method, poisoned.data)
    assert poisoned.truth.poisoned[found.notes["isolated"]].float().mean() > 0.8
    assert len(found.notes["removed"])
    after, left = judged(found.model, halves[1])
    assert left < 0.2
    assert after > right - 0.03


@pytest.mark.parametrize("seed", [1, 2])
def test_it_leaves_clean_data_alone(seed, halves):
    found = trained(BOTH[seed % 2], halves[0], seed)
    # None is removed on one kind of processor; on another 46 are, with one of the seeds, at 0.93.
    assert len(found.notes["removed"]) <= 0.1 * len(halves[0])
    assert accuracy(found.model, halves[1], DOMAIN).value > 0.9


def test_harm_is_taken_back(halves):
    """Planted isolation of clean examples: unlearning them costs their class, so it is undone."""
    data = halves[0]
    model = trained(Standard(RECIPE), data).model
    course = Course(model, data, DOMAIN, TrainingRun(), 9)
    mine, others = (data.labels == 4).nonzero().flatten(), (data.labels != 4).nonzero().flatten()
    groups = Groups(mine[:60], mine[60:90], others[:500], others)
    before = course.ask(groups.held).share()
    assert not BOTH[0].unlearn(course, groups, stream(0, "unlearn"))
    assert course.ask(groups.held).share() >= before - BOTH[0].sacrifice
    assert course.losses.shape[1] < BOTH[0].ascent_epochs, "it stops where harm begins"


@pytest.mark.parametrize("field", ["level", "early", "tolerance", "sacrifice"])
def test_shares_must_be_shares(digits, field):
    with pytest.raises(MethodError, match=field):
        GatedAntiBackdoorLearning(**{field: 1.5}).train(nn.Identity(), digits, DOMAIN, stream(0))
