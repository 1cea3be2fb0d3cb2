"""Training by sensitivity: the split and the objective by hand, and what it does on digits."""

import math

import pytest
import torch
from torch import nn

from methods.quick_network import quick_network
from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.objective import Batch
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.trainers.dst import CREDIBLE, POISON, UNSURE, SensitivityTraining

RECIPE = TrainingConfig(epochs=6, batch_size=64, learning_rate=0.05, augment=False)


def test_the_least_sensitive_of_each_class_are_credible_and_the_most_of_all_are_poison():
    sensitivity = torch.tensor([5.0, 1.0, 2.0, 9.0, 8.0, 7.0, 3.0, 4.0, 6.0, 10.0])
    labels = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    found = SensitivityTraining(credible=0.4, poisonous=0.2).held(sensitivity, labels)
    c, u, p = CREDIBLE, UNSURE, POISON
    assert found.tolist() == [u, c, c, p, u, u, c, c, u, p]


def test_each_class_has_a_credible_example_even_where_all_of_it_is_sensitive():
    found = SensitivityTraining().held(torch.arange(20.0), torch.arange(20) // 19)
    assert found[19] == CREDIBLE
    assert (found == CREDIBLE).sum() == 5


class Doubling:
    """A domain whose strong variation doubles."""

    def distort(self, batch, noise):
        return 2 * batch


def test_the_objective_by_hand():
    method = SensitivityTraining(
        sure=0.8, weight=0.5, bound=1.0, training=TrainingConfig(precision="fp32")
    )
    held = torch.tensor([CREDIBLE, UNSURE, UNSURE, POISON, POISON])
    inputs = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.1, 0.0], [0.0, 0.5], [9.0, 0.0]])
    losses = torch.tensor([0.7, 3.0, 3.0, 0.4, 6.0])
    model = nn.Identity()  # logits are the inputs, so a strong variation has twice the logits
    labels = torch.ones(5, dtype=torch.int64)
    rows = torch.arange(5)
    batch = Batch(rows, losses, inputs, inputs, labels, inputs)
    found = method._objective(model, held, Doubling())(batch)
    sure = math.log(1 + math.exp(-4))  # the call of row 1 is 0, with probability 0.88
    torch.testing.assert_close(found, torch.tensor([0.7, sure, 0.0, -0.2, -0.5]))


def test_a_small_trigger_is_sensitive_and_is_hardly_learnt():
    domain = ImageDomain(crop=0.0)
    data, test = (load_named("digits", split).data for split in ("train", "test"))
    attack = Poisoning(PatchTrigger(1, -1, -1, "white"), AllToOne(0), RandomSelection(0.1))
    poisoned = attack.poison(data, stream(0, "poison"))
    seen = []

    class Spied(SensitivityTraining):
        def held(self, sensitivity, labels):
            seen.append(super().held(sensitivity, labels))
            return seen[-1]

    model = quick_network(poisoned.data, stream(0, "network"))
    trained = Spied(training=RECIPE).train(model, poisoned.data, domain, stream(0, "train"))
    share = {k: poisoned.truth.poisoned[seen[0] == k].float().mean() for k in (CREDIBLE, POISON)}
    assert share[CREDIBLE] < 0.1 < 0.4 < share[POISON]
    assert accuracy(trained.model, test, domain).value > 0.9
    assert attack_success(trained.model, attack, test, domain, stream(0, "trap")).high < 0.2
    assert trained.cost["forward"] == len(data) * (2 + 2 + 2 * 6)
    assert trained.cost["backward"] == len(data) * (2 + 2 * 6)


@pytest.mark.parametrize(
    "fields",
    [{"credible": 0.0}, {"credible": 0.7, "poisonous": 0.4}, {"warmup": 0}, {"weight": -1.0}],
    ids=str,
)
def test_settings_out_of_range_are_refused(fields):
    data = dataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), [0, 1, 0, 1])
    with pytest.raises(MethodError, match="need"):
        SensitivityTraining(**fields).train(nn.Identity(), data, ImageDomain(), stream(0, "t"))
