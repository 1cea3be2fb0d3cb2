"""The non-adversarial backdoor: the mark, who is marked with which label, and digits."""

import pytest
import torch
from torch import nn

from mithridate.attacks.goals import AllToOne
from mithridate.attacks.poisoning import Poisoning
from mithridate.attacks.selections import RandomSelection
from mithridate.bench.metrics.evaluate import accuracy, attack_success
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig
from mithridate.core.streams import stream
from mithridate.domains.catalogue import load_named
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.trainers.nab import NonAdversarialBackdoor, Stamp
from mithridate.trainers.standard import Standard

RECIPE = TrainingConfig(epochs=6, batch_size=64, learning_rate=0.05, augment=False)


def test_the_mark_is_a_square_in_the_first_corner_and_the_argument_stays():
    batch = torch.full((2, 3, 4, 5), 7, dtype=torch.uint8)
    before = batch.clone()
    found = Stamp(2, 200)(batch)
    expected = before.clone()
    expected[:, :, :2, :2] = 200
    assert torch.equal(found, expected)
    assert torch.equal(batch, before)


def test_the_mark_can_be_off_and_passes_other_inputs_by():
    stamp, batch = Stamp(2, 200), torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    numbers = torch.ones(2, 5, dtype=torch.int32)
    assert stamp(numbers) is numbers
    stamp.on = False
    assert stamp(batch) is batch


def test_the_form_has_one_mark_in_front_and_no_more_weights():
    network = nn.Linear(3, 2)
    formed = NonAdversarialBackdoor(size=3, level=9).form(network)
    assert (formed[0].size, formed[0].level, formed[0].on) == (3, 9, True)
    assert [*formed.parameters()] == [*network.parameters()]


def backdoored():
    data, test = (load_named("digits", split).data for split in ("train", "test"))
    attack = Poisoning(PatchTrigger(1, -1, -1, "white"), AllToOne(0), RandomSelection(0.1))
    return attack, attack.poison(data, stream(0, "poison")), test


def test_the_mark_overrules_a_trigger_that_the_network_still_knows():
    attack, poisoned, test = backdoored()
    domain, labels = ImageDomain(crop=0.0), []

    class Spied(NonAdversarialBackdoor):
        def _relabelled(self, judge, data, suspects, domain, runtime):
            better = super()._relabelled(judge, data, suspects, domain, runtime)
            labels.append((better.labels, suspects))
            return better

    trainer = Spied(share=0.1, spared=0.3, warmup=3, relabelling=10, training=RECIPE)
    found = {}
    for method in (Standard(RECIPE), trainer):
        model = method.form(domain.network(poisoned.data, "resnet9:8", stream(0, "network")))
        trained = method.train(model, poisoned.data, domain, stream(0, "train"))
        assert accuracy(trained.model, test, domain).value > 0.9
        found[method.name()] = attack_success(model, attack, test, domain, stream(0, "trap"))
    assert found["standard"].low > 0.9
    assert found["spied"].high < 0.3
    model[0].on = False
    assert attack_success(model, attack, test, domain, stream(0, "trap")).low > 0.5
    better, suspects = labels[0]
    assert len(suspects) == round(0.1 * len(better))
    assert (better == poisoned.truth.labels)[suspects].float().mean() > 0.8
    others = torch.ones(len(better), dtype=torch.bool)
    others[suspects] = False
    assert torch.equal(better[others], poisoned.data.labels[others])
    assert trained.cost["forward"] > len(better) * 15


def test_only_suspects_are_marked_and_after_the_augmentation(monkeypatch):
    seen = []

    def spy(model, data, domain, config, rng, run, *, vary):
        seen.append(vary(data.inputs, torch.tensor([2, 0, 1]), torch.Generator()))

    monkeypatch.setattr("mithridate.trainers.nab.fit", spy)
    trainer = NonAdversarialBackdoor(size=1, level=9, training=RECIPE)
    data = dataset(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), [0, 1, 0])
    marked = torch.tensor([True, False, True])
    trainer._settle(trainer.form(nn.Identity()), data, marked, ImageDomain(), stream(0, "t"), None)
    assert seen[0][:, 0, 0, 0].tolist() == [9, 9, 0], "the batch holds rows 2, 0 and 1"
    assert not seen[0][:, 0, 1].any()


@pytest.mark.parametrize("fields", [{"share": 0.3, "spared": 0.2}, {"spared": 1.0}], ids=str)
def test_shares_out_of_range_are_refused(fields):
    trainer = NonAdversarialBackdoor(**fields)
    data = dataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), [0, 1, 0, 1])
    with pytest.raises(MethodError, match="share <= spared"):
        trainer.train(trainer.form(nn.Identity()), data, ImageDomain(), stream(0, "t"))


def test_a_network_without_the_mark_is_refused_with_the_way_to_get_one():
    data = dataset(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), [0, 1, 0, 1])
    with pytest.raises(MethodError, match=r"trainer\.form"):
        NonAdversarialBackdoor().train(nn.Identity(), data, ImageDomain(), stream(0, "t"))
