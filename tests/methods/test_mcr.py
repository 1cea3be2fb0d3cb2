"""Mode connectivity repair: the path by hand, how a place is chosen, and what it does."""

import copy

import pytest
import torch
from torch import nn

import mithridate.repairs.mcr
from methods.test_fine_tuning import Numbers
from methods.victim_to_repair import DOMAIN, outcome, repaired, victim, view
from mithridate.bench.metrics.evaluate import answers
from mithridate.core.data import dataset
from mithridate.core.errors import MethodError
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.repairs.mcr import ModeConnectivityRepair, Path, places


def line(slope):
    model = nn.Sequential(nn.Linear(1, 1))
    model[0].weight.data.fill_(slope)
    model[0].bias.data.zero_()
    return model


def test_the_path_by_hand():
    path = Path(line(4.0), line(8.0), stream(0, "path"))
    assert [p.item() for p in path.bend] == [6.0, 0.0], "the bend starts halfway"
    path.bend[0].data.fill_(-2.0)
    for t, target_labels in (
        (0.0, 4.0),
        (0.5, 4 / 4 - 2 / 2 + 8 / 4),
        (0.25, 2.25 - 0.75 + 0.5),
        (1, 8),
    ):
        assert path.weights(t)["0.weight"].item() == pytest.approx(target_labels)
        assert path.network_at(t)[0].weight.item() == pytest.approx(target_labels)


def test_a_path_is_asked_at_places_of_the_whole_and_trained_at_its_bend_alone():
    path = Path(line(0.0), line(1.0), stream(0, "path"))
    path.bend[0].data.fill_(0.5)  # so that the weight is t
    asked = torch.cat([path(torch.ones(1, 1)) for _ in range(300)])
    assert 0 <= asked.min() < 0.05 and 0.95 < asked.max() <= 1
    assert 0.4 < asked.mean() < 0.6
    slope = torch.autograd.grad(path(torch.ones(1, 1)).sum(), [path.bend[0]])[0]
    assert 0 < slope.item() <= 0.5, "2 t (1 - t)"


def test_places_go_from_the_middle_outwards():
    assert places(0.3) == pytest.approx([0.5, 0.6, 0.4, 0.7, 0.3])
    assert set(places(0.5)) == {0.5}


def test_the_place_with_the_best_held_out_examples_is_taken(monkeypatch):
    asked = []

    def accuracy(model, held, domain, runtime):
        asked.append((model, held))
        return [0.1, 0.5, 0.3, 0.5, 0.2][len(asked) - 1]

    monkeypatch.setattr(mithridate.repairs.mcr, "accuracy", accuracy)
    result = repaired(ModeConnectivityRepair(epochs=1))
    assert result is asked[1][0], "the one nearer to the middle wins the tie"
    trusted = victim()[1]
    assert all(len(held) == round(0.2 * len(trusted)) for _, held in asked)
    assert len({id(model) for model, _ in asked}) == 5


def test_moments_are_those_of_the_examples():
    model = nn.Sequential(nn.BatchNorm1d(1), nn.Dropout(0.9), nn.BatchNorm1d(1), nn.Linear(1, 2))
    data = dataset(torch.tensor([[0.0], [2.0], [4.0], [10.0]]), [0, 1, 0, 1])
    shown = View(domain=Numbers(), model=model, clean=data)
    settled = ModeConnectivityRepair().settled(model.eval(), shown, data)
    assert settled[0].running_mean.item() == pytest.approx(4.0, rel=0.01)
    assert settled[0].running_var.item() == pytest.approx(56 / 3, rel=0.02)
    assert settled[2].running_var.item() == pytest.approx(4 / 3, rel=0.02), "nothing is dropped"
    assert settled[0].momentum == 0.1
    assert not any(m.training for m in settled.modules())


def test_the_backdoor_is_gone_and_the_accuracy_stays():
    # with four streams 0.02 were left at most, on two other victims 0.04 and 0.16; at half the
    # rate 0.9 were left with one stream of two
    method = ModeConnectivityRepair(epochs=30, learning_rate=0.8)
    before, after = outcome(victim()[0]), outcome(repaired(method))
    assert before.success > 0.9
    assert after.success < 0.2
    assert after.accuracy > before.accuracy - 0.04


def test_training_the_bend_lowers_the_loss_on_the_path():
    model, trusted = victim()
    repair = ModeConnectivityRepair()
    far = repair.tune(copy.deepcopy(model), view(), trusted, stream(0, "far"))
    path = Path(copy.deepcopy(model), far, stream(0, "path"))

    def loss():
        networks = [repair.settled(path.network_at(t), view(), trusted) for t in (0.3, 0.5, 0.7)]
        found = [answers(m, trusted, DOMAIN, Runtime()).losses.mean() for m in networks]
        return float(sum(found)) / 3

    before = loss()
    ends = [p.clone() for p in (*path.first, *path.last, *path.network.parameters())]
    repair.tune(path, view(), trusted, stream(0, "bend"), parameters=list(path.bend))
    assert loss() < 0.7 * before
    kept = (*path.first, *path.last, *path.network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(ends, kept, strict=True))


@pytest.mark.parametrize("margin", [-0.1, 0.6])
def test_a_margin_beyond_the_middle_is_refused(margin):
    with pytest.raises(MethodError, match=f"must lie in 0..0.5, found {margin}"):
        repaired(ModeConnectivityRepair(margin=margin))
