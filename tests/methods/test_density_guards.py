"""Density and distance of features: values by hand, what they see, and what they refuse."""

import math

import pytest
import torch

from methods.guarded_world import apart, triggered
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.view import View
from mithridate.detectors.kernel_density import KernelDensity, _within
from mithridate.detectors.mahalanobis import Mahalanobis
from mithridate.stats.ranking import auroc


def view(features, labels=None):
    return View(features=features, labels=torch.zeros(len(features)).long() if labels is None
                else labels)  # fmt: skip


def noise(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_density_by_hand():
    """Points at 0 and 2 of the class, one of another class at 1, h = 1: (e^-1/2 + e^-1/2) / 2."""
    rows, labels = torch.tensor([[0.0], [2.0], [1.0], [1.1]]), torch.tensor([0, 0, 1, 1])
    detector = KernelDensity(bandwidth=1.0)
    found = detector.score(detector.fit(view(rows, labels)), view(torch.tensor([[1.0]])))
    assert float(found[0]) == pytest.approx(0.5)


@pytest.mark.parametrize("spread", [0.01, 1.0, 100.0])
def test_the_bandwidth_suits_a_gaussian(spread):
    """In one dimension the best bandwidth for n Gaussian examples is about 1.06 s n^(-1/5)."""
    width = float(KernelDensity().fit(view(spread * noise(500, 1)))["width"])
    assert width == pytest.approx(1.06 * spread * 500**-0.2, rel=0.5)


def test_sparse_dense_and_either_look_where_they_say():
    usual, outside, crowded = noise(400, 4), noise(50, 4) + 6, 0.05 * noise(50, 4)
    for seeks, odd in (("sparse", outside), ("dense", crowded), ("either", outside),
                       ("either", crowded)):  # fmt: skip
        detector = KernelDensity(seeks=seeks)
        state = detector.fit(view(usual))
        scores = [detector.score(state, view(rows)) for rows in (odd, noise(200, 4, 1))]
        assert auroc(torch.cat(scores), torch.arange(250) < 50) > 0.85, (seeks, len(odd))


def test_mahalanobis_is_the_distance_under_the_shrunk_covariance():
    rows, labels = noise(60, 3) * torch.tensor([1.0, 2.0, 4.0]), torch.arange(60) % 2
    detector, asked = Mahalanobis(), noise(5, 3, 1)
    found = detector.score(detector.fit(view(rows, labels)), view(asked, torch.tensor([0] * 5)))
    means = [rows[labels == y].double().mean(0) for y in (0, 1)]
    centred = torch.cat([rows[labels == y].double() - means[y] for y in (0, 1)])
    matrix = centred.T @ centred / 60
    trace, squares = matrix.trace(), (matrix @ matrix).trace()
    above = (1 - 2 / 3) * squares + trace**2
    share = min(1.0, float(above / ((61 - 2 / 3) * (squares - trace**2 / 3))))
    shrunk = (1 - share) * matrix + share * trace / 3 * torch.eye(3)
    away = asked.double() - means[0]
    torch.testing.assert_close(found, (away @ shrunk.inverse() * away).sum(1))
    assert 0 < share < 0.2


def test_a_direction_in_which_the_class_never_varies_weighs_most():
    rows = noise(500, 2) * torch.tensor([10.0, 0.1])
    detector = Mahalanobis()
    near, far = detector.score(detector.fit(view(rows)), view(torch.tensor([[3.0, 0], [0, 3.0]])))
    assert far > 50 * near


def test_triggered_inputs_stand_out_in_features():
    assert apart(Mahalanobis(), triggered()) > 0.9
    assert apart(KernelDensity(), triggered()) > 0.9


@pytest.mark.parametrize("guard", [KernelDensity(), Mahalanobis()])
def test_features_without_spread_are_refused(guard):
    with pytest.raises(CannotJudge, match="same features"):
        guard.fit(view(torch.ones(20, 3)))


@pytest.mark.parametrize("guard", [KernelDensity(), Mahalanobis()])
def test_one_trusted_example_is_too_few(guard):
    with pytest.raises(MethodError, match="2 trusted examples"):
        guard.fit(view(torch.ones(1, 3)))


def test_a_negative_bandwidth_is_named():
    with pytest.raises(MethodError, match="at least 0"):
        KernelDensity(bandwidth=-1.0).fit(view(noise(20, 3)))


def test_scores_are_finite_however_far_an_input_lies():
    for guard in (KernelDensity(), KernelDensity(seeks="either"), Mahalanobis()):
        state = guard.fit(view(noise(100, 3)))
        found = guard.score(state, view(torch.tensor([[1e15] * 3, [-1e15, 0, 0]])))
        assert torch.isfinite(found).all(), guard
        assert math.isfinite(float(found[0] - found[1]))


def test_distances_are_those_to_the_class_without_oneself_or_to_all_others():
    rng = torch.Generator().manual_seed(0)
    points, labels = torch.randn(30, 4, generator=rng), torch.arange(30) % 3
    labels[7] = 9  # the only one of its class
    whole = torch.cdist(points.double(), points.double())
    apart = ~torch.eye(30, dtype=torch.bool)
    for label, distances in zip(labels.unique(), _within(points, labels), strict=True):
        rows = labels == label
        among = rows if int(rows.sum()) > 1 else torch.ones(30, dtype=torch.bool)
        expected = torch.where(apart, whole, torch.inf)[rows][:, among]
        assert torch.allclose(distances, expected)
