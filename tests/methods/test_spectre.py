"""SPECTRE: a slow literal reference in 64 bits, and what whitening sees that others do not."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm, sqrtm

from mithridate.core.errors import MethodError
from mithridate.core.view import View
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.spectre import Spectre, entropy_weights
from mithridate.stats.ranking import auroc
from mithridate.stats.robust_covariance import robust_subset, whitening, worst_form


def noise(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def falling(n, d, seed=0):
    """Rows whose variance falls with the direction, as in trained networks."""
    return noise(n, d, seed) * (1 + torch.arange(d)) ** -0.5


def view(features, labels=None):
    labels = torch.zeros(len(features), dtype=torch.int64) if labels is None else labels
    return View(features=features, labels=labels)


def literal_subset(points, share):
    """The filter, with every matrix formed and every point visited by itself."""
    n, k = points.shape
    kept, allowed, rounds = list(range(n)), round(2 * share * n), []
    while k > 1 and allowed > 0:
        white = points[kept] @ np.linalg.inv(sqrtm(points[kept].T @ points[kept] / len(kept)))
        order = [float(z @ z) for z in white]
        over = [s >= 10 * k * math.log(len(kept) / 0.1) for s in order]
        if not any(over):
            moments = sum(np.outer(np.kron(z, z), np.kron(z, z)) for z in white) / len(white)
            unit = np.eye(k).ravel()
            values, vectors = np.linalg.eigh(moments - np.outer(unit, unit))
            if values[-1] <= 1 + 10 * share * math.log(1 / share) ** 2:
                break
            form = vectors[:, -1].reshape(k, k)
            along = [float(z @ form @ z) / math.sqrt(2) for z in white]
            middle = sorted(along)[(len(along) - 1) // 2]
            order = [abs(a - middle) for a in along]
            tail = [s - 3 for s in sorted(order) if s - 3 > 10 * math.log(1 / share)]
            cut = tail[0] if tail else max(order) - 3
            if cut <= 0:
                break
            over = [s > cut for s in order]
        worst = sorted(range(len(kept)), key=lambda i: -order[i])[:allowed]
        dropped = {kept[i] for i in worst if over[i]}
        rounds.append(len(dropped))
        allowed -= len(dropped)
        kept = [i for i in kept if i not in dropped]
    return np.isin(np.arange(n), kept), rounds


def literal_weights(matrix):
    weights = expm(4 * (matrix - np.eye(len(matrix))) / (np.linalg.norm(matrix, 2) - 1))
    return weights / np.trace(weights)


def literal_scores(rows, share, directions):
    """SPECTRE as it is written down, for one class."""
    centred = rows - rows.mean(0)
    everything = centred @ np.linalg.svd(centred, full_matrices=False)[2].T[:, :directions]
    n, best, chosen = len(rows), -np.inf, None
    for root in np.linspace(1, math.sqrt(directions), 10):
        points = everything[:, : round(root**2)]
        kept, _ = literal_subset(points, share)
        covariance = np.atleast_2d(np.cov(points[kept].T, bias=True))
        white = points @ np.linalg.inv(sqrtm(covariance))
        spread = np.atleast_2d(np.cov(white.T, bias=True))
        weights = literal_weights(spread) if len(spread) > 1 else np.ones((1, 1))
        scores = np.array([z @ weights @ z for z in white])
        rest = scores <= np.sort(scores)[n - round(1.5 * share * n) - 1]
        whole = everything @ np.linalg.inv(sqrtm(np.cov(everything[rest].T, bias=True)))
        spread = np.cov(whole.T, bias=True)
        quality = np.trace(spread @ literal_weights(spread))
        if quality > best:
            best, chosen = quality, scores
    return torch.from_numpy(chosen)


def contaminated(n, d, count, size, seed=0):
    """Rows of which the first `count` are shifted, with heavy tails."""
    rows = falling(n, d, seed)
    rows[:count] = rows[:count] * 0.3 + size * falling(1, d, seed + 1)
    rows[count : count + 3] *= 6
    return rows


@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_a_literal_reference_in_64_bits(seed):
    rows = contaminated(150, 14, 10, 2.5, seed)
    found = Spectre(largest_share=0.1, directions=9).judge(view(rows)).values
    expected = literal_scores(rows.double().numpy(), 0.1, 9)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_filter_agrees_with_a_literal_reference(seed):
    points = contaminated(150, 6, 10, 2.5, seed).double()
    points -= points.mean(0)
    expected, rounds = literal_subset(points.numpy(), 0.1)
    assert len(rounds) >= 2, "the reference did not drop anything twice, so it tests little"
    assert np.array_equal(robust_subset(points, 0.1).numpy(), expected)


def test_the_filter_keeps_to_its_allowance():
    points = contaminated(400, 5, 100, 8.0).double()
    points -= points.mean(0)
    assert int((~robust_subset(points, 0.05)).sum()) <= 40


def test_the_iteration_finds_what_the_whole_matrix_holds():
    points = contaminated(500, 16, 25, 3.0).double()
    white = points @ whitening(points.T @ points / 500)
    value, vector = worst_form(white, np.eye(16).ravel())
    pairs = (white[:, :, None] * white[:, None, :]).flatten(1)
    unit = torch.eye(16).double().flatten()
    values, vectors = torch.linalg.eigh(pairs.T @ pairs / 500 - torch.outer(unit, unit))
    assert value == pytest.approx(float(values[-1]), rel=0.03)
    assert abs(float(vectors[:, -1] @ torch.from_numpy(vector))) > 0.97


def test_the_weights_prefer_excess_variance_and_sum_to_one():
    weights = entropy_weights(torch.diag(torch.tensor([1.0, 3.0, 2.0]).double()))
    expected = torch.exp(torch.tensor([0.0, 4.0, 2.0]).double())
    torch.testing.assert_close(weights.diagonal(), expected / expected.sum())
    torch.testing.assert_close(entropy_weights(torch.eye(4).double()), torch.eye(4).double() / 4)


def hidden():
    """A shifted minority in a direction that varies less than nineteen others."""
    rows, poisoned = falling(1000, 40), torch.arange(1000) < 50
    rows[poisoned, 19] += 1.6
    return rows, poisoned


def test_it_finds_what_ordinary_variance_hides():
    rows, poisoned = hidden()
    assert auroc(Spectre().judge(view(rows)).values, poisoned) > 0.95
    assert auroc(SpectralSignatures().judge(view(rows)).values, poisoned) < 0.7


def test_it_misses_what_lies_outside_its_directions():
    rows, poisoned = hidden()
    assert auroc(Spectre(directions=4).judge(view(rows)).values, poisoned) < 0.7


def test_scores_of_clean_classes_lie_around_one_whatever_the_scale():
    rows, labels = falling(800, 30), torch.arange(800) % 2
    rows[labels == 1] *= 1000
    scores = Spectre().judge(view(rows, labels)).values
    for label in range(2):
        assert float(scores[labels == label].mean()) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_tiny_and_constant_classes_are_neutral(count):
    labels = torch.cat([torch.zeros(100), torch.ones(count), torch.full((20,), 3)]).long()
    rows = falling(120 + count, 30)
    rows[labels == 3] = 0.1
    scores = Spectre().judge(view(rows, labels)).values
    assert not scores[labels != 0].any()
    assert scores[labels == 0].all()


def test_a_class_that_was_never_fitted_is_neutral():
    detector, rows = Spectre(), falling(100, 30)
    state = detector.fit(view(rows))
    assert not detector.score(state, view(rows, torch.full((100,), 7))).any()


def test_the_order_of_the_examples_does_not_matter():
    rows = contaminated(400, 60, 20, 1.0)
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    straight = Spectre().judge(view(rows)).values
    mixed = Spectre().judge(view(rows[order])).values
    torch.testing.assert_close(mixed, straight[order], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("share", [0.0, -0.1, 0.6])
def test_a_share_that_is_no_minority_is_refused(share):
    with pytest.raises(MethodError, match=f"between 0 and 0.5, found {share}"):
        Spectre(largest_share=share).judge(view(falling(50, 5)))
