"""Compositions: filtering, relabelling, unlearning, repairing, and what they measure."""

import copy
from dataclasses import dataclass

import numpy as np
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
from mithridate.core.method import Repair
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.triggers import PatchTrigger
from mithridate.pipelines.damage import damage, set_apart
from mithridate.pipelines.filtered import Filtered
from mithridate.pipelines.passes import Passes
from mithridate.pipelines.repaired import MeasuredRepair
from mithridate.pipelines.scan import DataScanner
from mithridate.pipelines.training import train
from mithridate.pipelines.unlearned import Unlearned
from mithridate.repairs.controls import DoNothing
from mithridate.trainers.standard import Standard

DOMAIN = ImageDomain(flip=False)
ATTACK = Poisoning(
    PatchTrigger(size=2, row=-2, column=-2), AllToOne(target=0), RandomSelection(poison_rate=0.1)
)
SCANNER = DataScanner(
    (SpectralSignatures(), ActivationClustering()), smallest=0.1, permutations=199,
    training=TrainingConfig(epochs=8, batch_size=32, learning_rate=0.1), network="resnet9:8",
)  # fmt: skip


def bars(n, seed):
    """Grey images of 8x8: noise, and a bar whose row is the class, of three."""
    rng = stream(seed, "bars")
    labels = np.arange(n) % 3
    images = rng.integers(0, 60, (n, 1, 8, 8)).astype(np.uint8)
    images[np.arange(n), 0, 1 + 2 * labels, 1:5] = 140
    return dataset(torch.from_numpy(images), labels)


@pytest.fixture(scope="module")
def world():
    return ATTACK.poison(bars(240, 1), stream(0, "poison")), bars(120, 2), bars(150, 3)


def success(model, test):
    return attack_success(model, ATTACK, test, DOMAIN, stream(0, "trap")).value


@pytest.mark.parametrize("how", ["drop", "relabel", "unlearn"])
def test_acting_on_what_a_scan_flags_takes_the_backdoor_out(how, world):
    poisoned, trusted, test = world
    # at the usual tenth of the rate nothing was unlearnt on four of four seeds, as it says itself
    training = TrainingConfig(epochs=15, batch_size=32, learning_rate=0.1)
    pipeline = Filtered(SCANNER) if how == "drop" else Unlearned(SCANNER, how, training)
    found = pipeline.train(poisoned.data, trusted, DOMAIN)
    assert found.scan.flagged.sum() >= 15
    assert success(found.scan.model, test) > 0.8, "the attack did not take"
    assert success(found.model, test) < 0.2
    assert accuracy(found.model, test, DOMAIN).value > 0.9
    assert "flagged" in found.ended
    assert found.cost["forward"] >= found.cost["backward"] > 8 * len(poisoned.data)


@pytest.mark.parametrize("pipeline", [Filtered(SCANNER), Unlearned(SCANNER)])
def test_where_nothing_is_flagged_the_network_of_the_scan_is_kept(pipeline):
    found = pipeline.train(bars(60, 1), None, DOMAIN)
    assert not found.scan.flagged.any()
    assert found.model is found.scan.model
    assert "kept" in found.ended


@dataclass(frozen=True)
class Counting(Standard):
    """Tells how many examples it was given."""

    def train(self, model, data, domain, rng, run=None):
        trained = super().train(model, data, domain, rng, run)
        return type(trained)(trained.model, trained.losses, {"given": len(data)}, {})


def test_another_trainer_trains_even_where_nothing_is_flagged():
    trainer = Counting(TrainingConfig(epochs=1))
    found = Filtered(SCANNER, trainer).train(bars(60, 1), None, DOMAIN)
    assert found.model is not found.scan.model


def test_any_trainer_is_driven_alike_and_the_same_seed_gives_the_same_network():
    config, data = TrainingConfig(epochs=2, batch_size=16), bars(48, 1)
    told = []
    run = TrainingRun(progress=lambda *done: told.append(done))
    first = train(Standard(config), data, DOMAIN, 3, run=run)
    again = train(Counting(config), data, DOMAIN, 3, run=run)
    assert told == [(1, 2), (2, 2)] * 2, "each tells of every epoch"
    weights = zip(first.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights)
    other = train(Standard(config), data, DOMAIN, 4)
    assert not torch.equal(next(first.model.parameters()), next(other.model.parameters()))


def test_unlearning_stops_before_it_does_harm(world):
    poisoned, trusted, test = world
    harsh = TrainingConfig(epochs=10, batch_size=32, learning_rate=5.0)
    found = Unlearned(SCANNER, "unlearn", harsh, ceiling=1e9).train(poisoned.data, trusted, DOMAIN)
    assert "before it did harm" in found.ended
    assert accuracy(found.model, test, DOMAIN).value > 0.9


def test_unlearning_needs_something_to_stop_by_and_a_known_way():
    with pytest.raises(MethodError, match="trusted examples to stop by"):
        Unlearned(SCANNER, "unlearn").train(bars(30, 1), None, DOMAIN)
    with pytest.raises(MethodError, match="found 'forget'"):
        Unlearned(SCANNER, "forget").train(bars(30, 1), None, DOMAIN)


class Says(nn.Module):
    """Calls the example with first byte b the class table[b]."""

    def __init__(self, *table):
        super().__init__()
        self.last = nn.Linear(len(table), 3, bias=False)
        self.last.weight.data = nn.functional.one_hot(torch.tensor(table), 3).T.float()

    def forward(self, batch):
        rows = batch.flatten(1)[:, 0].long()
        return self.last(nn.functional.one_hot(rows, self.last.in_features).float())


def numbered(labels):
    """One example for each label; its first byte is its position."""
    images = torch.zeros(len(labels), 1, 8, 8, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(len(labels))
    return dataset(images, labels, ("a", "b", "c"))


def test_damage_is_counted_example_by_example():
    data = numbered([0, 0, 0, 0, 1, 1])
    found = damage(Says(0, 0, 0, 1, 1, 2), Says(0, 1, 2, 0, 1, 0), data, DOMAIN)
    assert found.before.value == pytest.approx(4 / 6) and found.before.n == 6
    assert found.after.value == pytest.approx(3 / 6)
    assert found.lost.value == pytest.approx(2 / 6)  # examples 1 and 2
    assert found.gained.value == pytest.approx(1 / 6)  # example 3
    assert found.changed.value == pytest.approx(4 / 6)  # 1, 2, 3 and 5
    assert [c.after.n for c in found.classes] == [4, 2, 0]
    assert found.worst.name == "a" and found.worst.fall == pytest.approx(1 / 4)
    # 1 - 0.05 / 2 classes: the exact upper bound of 0 of 2 is 1 - (0.025 / 2) ** (1 / 2)
    wrong = damage(None, Says(1, 1, 1, 1, 0, 0), data, DOMAIN)
    assert wrong.before is wrong.changed is wrong.lost is None
    assert wrong.classes[1].after.high == pytest.approx(1 - 0.0125**0.5)
    assert wrong.worst.fall == 1


def test_trusted_examples_are_set_apart_class_by_class():
    data = numbered([0] * 10 + [1] * 2 + [2])
    work, apart = set_apart(data, 0.3, stream(0))
    assert torch.bincount(apart.labels, minlength=3).tolist() == [3, 1, 0]
    assert torch.bincount(work.labels, minlength=3).tolist() == [7, 1, 1]
    assert sorted(work.ids.tolist() + apart.ids.tolist()) == list(range(13))
    assert torch.equal(set_apart(data, 0.3, stream(0))[1].ids, apart.ids)
    with pytest.raises(MethodError, match="at least two trusted examples"):
        set_apart(numbered([0, 1, 2]), 0.3, stream(0))
    with pytest.raises(MethodError, match="between 0 and 1"):
        set_apart(data, 1.0, stream(0))


def test_passes_count_networks_and_not_their_layers():
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    with Passes() as passes:
        model(torch.zeros(5, 4)).sum().backward()
        with torch.no_grad():
            model(torch.zeros(3, 4))
        nn.ReLU()(torch.zeros(100))
        with pytest.raises(RuntimeError):
            model(torch.zeros(7, 9))
        model(torch.zeros(1, 4))
    model(torch.zeros(50, 4))
    assert (passes.passed, passes.returned) == (9, 5)
    assert passes.cost()["seconds"] > 0


@dataclass(frozen=True)
class Zero(Repair):
    """Destroys the network, and notes what it was given."""

    greedy: bool = False

    def repair(self, view, rng):
        seen.append(view.clean.ids.tolist())
        if self.greedy:
            seen.append(view.inputs)
            return copy.deepcopy(view.model)  # the form stays
        model = Says(*([0] * 60))
        model(torch.zeros(4, 1, 8, 8))
        return model


seen: list[object] = []


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


def trained(world):
    return SCANNER.train(world[0].data, None, DOMAIN, 0, runtime())


def runtime():
    from mithridate.core.runtime import Runtime

    return Runtime()


def test_a_repair_is_measured_on_examples_that_it_never_saw():
    data = numbered([0, 1, 2] * 20)
    found = MeasuredRepair(Zero()).repair(Says(*([0, 1, 2] * 20)), data, DOMAIN)
    assert not set(seen[0]) & set(found.measured.ids.tolist())
    assert len(seen[0]) + len(found.measured) == 60 and len(found.measured) == 18
    assert found.damage.before.value == 1 and found.damage.after.value == pytest.approx(1 / 3)
    assert found.damage.changed.value == pytest.approx(2 / 3)
    assert found.scans is found.changed is None
    assert found.used == ("clean", "model") and found.cost["forward"] == 4


def test_a_repair_that_costs_more_than_is_asked_gives_the_old_network_back():
    data, model = numbered([0, 1, 2] * 20), Says(*([0, 1, 2] * 20))
    kept = MeasuredRepair(Zero(), max_loss=0.66).repair(model, data, DOMAIN)
    assert kept.undone and kept.model is model
    lost = kept.damage.fall
    assert lost.value == pytest.approx(2 / 3) and 0.1 < lost.low < 0.6 < 0.7 < lost.high < 1
    allowed = MeasuredRepair(Zero(), max_loss=2 / 3).repair(model, data, DOMAIN)
    assert not allowed.undone and allowed.model is not model
    with pytest.raises(MethodError, match="max_loss"):
        MeasuredRepair(Zero(), max_loss=-0.1)


def test_doing_nothing_changes_nothing(world):
    poisoned, trusted, _ = world
    model = trained(world).model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = MeasuredRepair(DoNothing(), SCANNER).repair(
        model, trusted, DOMAIN, suspects=poisoned.data, saw="both"
    )
    assert found.damage.changed.value == found.damage.lost.value == found.changed.value == 0
    first, second = found.scans
    assert first.verdict == second.verdict and torch.equal(first.flagged, second.flagged)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_repair_that_saw_the_suspects_leaves_nothing_to_compare_them_with(world):
    poisoned, trusted, _ = world
    first, second = MeasuredRepair(Zero(greedy=True), SCANNER, max_loss=1.0).repair(
        trained(world).model, trusted, DOMAIN, suspects=poisoned.data, saw="both"
    ).scans  # fmt: skip
    assert first.verdict.p_value is not None
    assert second.verdict.answer == "cannot judge" and second.verdict.p_value is None


def test_a_repair_that_asks_for_suspects_says_so():
    with pytest.raises(MethodError, match="give them as suspects, on the command line by --data"):
        MeasuredRepair(Zero(greedy=True)).repair(Says(0, 1, 2), numbered([0, 1, 2] * 2), DOMAIN)
