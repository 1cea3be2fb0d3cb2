"""The strongest feature: its slopes by hand, the choice of a size, and a backdoor in digits."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mithridate.core.data import dataset
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.streams import seed_torch, stream
from mithridate.core.view import View
from mithridate.detectors._cells import ClassEnds, drawn, sizes_up_to
from mithridate.detectors._slopes import Slopes, choose, excesses, measured
from mithridate.detectors.strongest_feature import StrongestFeature, difference_of_means
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.layers import Encode
from mithridate.stats.ranking import auroc
from mithridate.stats.strongest import strength


class SmallDomain(ImageDomain):
    """Images with a network that trains in a tenth of a second."""

    def network(self, data, name, rng):
        images = self.prepare(data.inputs)
        with seed_torch(rng):
            inner = nn.Linear(images[0].numel(), 32), nn.ReLU(), nn.Linear(32, len(data.classes))
            return nn.Sequential(Encode(images), nn.Flatten(), *inner)


def cells_of_two_classes(n=200):
    place = torch.arange(n) % 2
    return ClassEnds(
        place,
        torch.arange(n).double()[:, None],
        torch.tensor([0, 1]),
        sizes_up_to(n // 4),
        torch.arange(n),
    )


def test_sizes_grow_by_the_square_root_of_two_up_to_half_a_class():
    assert sizes_up_to(50) == (10, 14, 20, 28, 40)
    assert sizes_up_to(3) == (10,)


def test_every_end_comes_at_rates_of_its_own():
    cells = cells_of_two_classes()
    chosen = drawn(cells, 60, stream(0, "subsets"))
    for number in (0, 1):
        low, high = (chosen[:, rows].float().mean(1) for rows in cells.ends(number))
        assert 0.4 < float(low.mean()) < 0.6
        assert float(low.std()) > 2.5 * 0.5 / np.sqrt(50), "uniform halves vary less"
        assert abs(float(torch.corrcoef(torch.stack([low, high]))[0, 1])) < 0.4


def test_a_slope_is_what_one_more_member_is_worth():
    """Members of one end gain 0.3 for each of their kind, whoever else takes part."""
    cells = cells_of_two_classes()
    chosen = drawn(cells, 40, stream(0, "subsets"))
    members = cells.ends(1)[0][:28]
    margins = torch.from_numpy(stream(0, "noise").standard_normal(chosen.shape)).float() / 10
    margins[:, members] += 0.3 * chosen[:, members].sum(1, keepdim=True)
    margins += torch.arange(200) / 10  # what each has of its own says nothing
    slopes = measured(cells, chosen, margins)
    at = cells.sizes.index(28)
    assert float(slopes.values[1, 0, at]) == pytest.approx(0.3, abs=0.03)
    assert abs(float(slopes.values[0, 1, at])) < 0.03
    assert float(slopes.errors[1, 0, at]) < 0.02
    best = choose(slopes)
    assert int(best.excess.argmax()) == 1 and int(best.ends[1]) == 0
    assert cells.sizes[int(best.sizes[1])] in (20, 28)


def test_sets_are_compared_with_those_of_their_size_in_other_classes():
    values = torch.tensor(
        [[[9.0, 1.0], [8.0, 5.0]], [[9.0, 1.0], [8.0, 1.2]], [[9.5, 0.9], [8.5, 1.1]]]
    )
    slopes = Slopes(values.double(), torch.full_like(values, 0.1).double(), values, values)
    assert int(excesses(slopes)[0].flatten().argmax()) == 3
    best = choose(slopes)
    assert int(best.excess.argmax()) == 0
    assert (int(best.ends[0]), int(best.sizes[0])) == (1, 1)


def test_difference_of_means_is_that_of_the_margins_with_and_without():
    rng = stream(0, "means")
    chosen = torch.from_numpy(rng.random((1000, 6))) < 0.5
    truth = torch.from_numpy(rng.standard_normal((6, 6))).float().fill_diagonal_(0)
    w = difference_of_means(chosen, chosen.float() @ truth.T)
    found = (w.rows @ w.columns.T).fill_diagonal_(0)
    torch.testing.assert_close(found, truth, atol=0.4, rtol=0)
    assert np.isfinite(strength(w, torch.arange(6) < 2))


@pytest.fixture(scope="module")
def world(digits):
    """Digits of which 80 of other classes carry a white corner and the label 0."""
    rng = stream(1, "poison")
    others = (digits.labels != 0).nonzero().flatten()
    rows = others[torch.from_numpy(rng.permutation(len(others))[:80])]
    inputs, labels = digits.inputs.clone(), digits.labels.clone()
    inputs[rows, :, -3:, -3:], labels[rows] = 255, 0
    poisoned = torch.zeros(len(labels), dtype=torch.bool)
    poisoned[rows] = True
    data, domain = dataset(inputs, labels), SmallDomain(crop=0.0)
    model = domain.network(data, "", stream(1, "init"))
    fit(model, data, domain, TrainingConfig(epochs=8, batch_size=64), stream(1, "fit"))
    return SimpleNamespace(data=data, domain=domain, model=model, poisoned=poisoned)


def view_of(world):
    return View(world.data, domain=world.domain, model=world.model)


@pytest.fixture(scope="module")
def fitted(world, tmp_path_factory):
    home = tmp_path_factory.mktemp("kept")
    detector, told = StrongestFeature(trainings=12, epochs=6), []
    state = detector.fitted(view_of(world), home, lambda *now: told.append(now))
    return SimpleNamespace(detector=detector, state=state, home=home, told=told)


def test_a_backdoor_is_the_strongest_feature(world, fitted):
    scores = fitted.detector.judge(view_of(world), state=fitted.state).values
    inside = world.data.labels == 0
    assert auroc(scores[inside], world.poisoned[inside]) > 0.9
    end, size = (int(fitted.state[name][0]) for name in ("ends", "chosen"))
    others = fitted.state["values"][1:, :, size]
    assert float(fitted.state["values"][0, end, size]) > float(others.nanquantile(0.9))


def test_trainings_are_told_of_and_kept(world, fitted, monkeypatch):
    assert fitted.told == [(number, 12) for number in range(1, 13)]
    monkeypatch.setattr("mithridate.detectors._subset_trainings.fit", None)
    again = fitted.detector.fitted(view_of(world), fitted.home)
    assert all(torch.equal(value, again[name]) for name, value in fitted.state.items())


def test_uniform_halves_score_who_they_were_fitted_on_and_no_others(world):
    detector = StrongestFeature(trainings=2, epochs=1, route="subsets")
    view = view_of(world)
    state = detector.fit(view)
    assert set(detector.score(state, view).tolist()) != {0.0}
    other = View(world.data.with_inputs(255 - world.data.inputs), domain=world.domain)
    with pytest.raises(CannotJudge, match="1797 of 1797"):
        detector.score(state, other)


def test_numbers_out_of_range_are_refused(world):
    with pytest.raises(MethodError, match="at least 1 training"):
        StrongestFeature(trainings=0).fit(view_of(world))
