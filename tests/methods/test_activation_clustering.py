"""Activation Clustering: values by hand, scikit-learn's own k-means, the paper's claim."""

import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA, FastICA

from mithridate.core.view import View
from mithridate.detectors.activation_clustering import ActivationClustering, two_means
from mithridate.stats.linear import centre, main_directions
from mithridate.stats.ranking import auroc


def noise(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def falling(n, d, seed=0):
    """Rows whose variance falls with the direction, as in trained networks."""
    return noise(n, d, seed) * (1 + torch.arange(d)) ** -0.5


def shifted(n, d, share=0.05, size=1.5):
    """Rows of which a share is shifted, and which ones."""
    rows, poisoned = falling(n, d), torch.arange(n) < share * n
    rows[poisoned] += size * falling(1, d, 1)
    return rows, poisoned


def view(features, labels=None):
    labels = torch.zeros(len(features), dtype=torch.int64) if labels is None else labels
    return View(features=features, labels=labels)


def inertia(points, inside):
    return sum(float((p - p.mean(0)).square().sum()) for p in (points[inside], points[~inside]))


@pytest.mark.parametrize("reduction", ["pca", "ica"])
def test_values_by_hand(reduction):
    """Centres at 0 and 10 on a line: -1 at the larger cluster, 1 at the smaller, 0 halfway."""
    detector = ActivationClustering(reduction=reduction)
    rows = torch.tensor([[0.0], [0.0], [0.0], [0.0], [10.0], [10.0]]) * torch.tensor([[0.6, 0.8]])
    state = detector.fit(view(rows))
    expected = torch.tensor([-1.0, -1, -1, -1, 1, 1]).double()
    torch.testing.assert_close(detector.score(state, view(rows)), expected)
    between = torch.tensor([[3.0, 4.0], [6.0, 8.0], [12.0, 16.0]])
    found = detector.score(state, view(between))
    torch.testing.assert_close(found, torch.tensor([0.0, 1.0, 3.0]).double())


@pytest.mark.parametrize("seed", range(4))
def test_the_cut_is_as_good_as_the_best_of_twenty_of_scikit_learn(seed):
    points = falling(1500, 10, seed) if seed else shifted(1500, 10, size=2.5)[0]
    points = points - points.mean(0)
    best = KMeans(2, n_init=20, random_state=0).fit(points.numpy()).inertia_
    cut = two_means(points)
    assert int(cut.sum()) <= 750
    assert inertia(points, cut) <= best * (1 + 1e-4)


def test_the_cut_stands_still_where_every_point_is_nearest_its_own_centre():
    points = falling(800, 10) - falling(800, 10).mean(0)
    cut = two_means(points)
    centres = torch.stack([points[~cut].mean(0), points[cut].mean(0)])
    assert torch.equal(torch.cdist(points, centres).argmin(1) == 1, cut)


@pytest.mark.filterwarnings("ignore:FastICA did not converge")  # any rotation will do
def test_independent_components_cluster_like_whitened_principal_components():
    """FastICA only rotates what is white, so it need not be computed."""
    rows, _ = shifted(1200, 40, size=2)
    components = FastICA(10, whiten="unit-variance", random_state=0, max_iter=50, tol=0.1)
    sources = torch.from_numpy(components.fit_transform(rows.double().numpy()))
    ours = ActivationClustering().reduce(rows)[2].double()
    torch.testing.assert_close(torch.cdist(ours, ours), torch.cdist(sources, sources), rtol=1e-4,
                               atol=1e-4)  # fmt: skip
    theirs = KMeans(2, n_init=20, random_state=0).fit(sources.numpy()).labels_
    smaller = torch.from_numpy(theirs == int(theirs.mean() < 0.5))
    assert torch.equal(two_means(ours), smaller)


def test_principal_components_are_those_of_scikit_learn():
    rows, _ = shifted(1200, 40)
    theirs = torch.from_numpy(PCA(10, svd_solver="full").fit_transform(rows.double().numpy()))
    ours = ActivationClustering(reduction="pca").reduce(rows)[2].double()
    torch.testing.assert_close(torch.cdist(ours, ours), torch.cdist(theirs, theirs), rtol=1e-4,
                               atol=1e-4)  # fmt: skip


@pytest.mark.parametrize(
    "rows, least",
    [(falling(1500, 400), 0.99), (shifted(1500, 400)[0], 0.99), (noise(1500, 400), 0.95)],
)
def test_the_krylov_space_holds_the_main_directions(rows, least):
    """Of a flat spectrum about as much as the randomised decomposition of scikit-learn holds."""
    mean = centre(rows)
    basis, spread = main_directions(rows, mean, 10)
    values = torch.linalg.svdvals(rows.double() - mean)[:10]
    torch.testing.assert_close(basis.T @ basis, torch.eye(10).double(), rtol=0, atol=1e-6)
    captured = ((rows.double() - mean) @ basis).square().sum() / values.square().sum()
    assert least < float(captured) < 1 + 1e-6
    torch.testing.assert_close(spread, values / 1500**0.5, rtol=1.1 - least, atol=0)


def test_no_setting_of_the_arithmetic_is_left_behind():
    before = torch.get_float32_matmul_precision()
    main_directions(falling(1500, 400), torch.zeros(400).double(), 10)
    assert torch.get_float32_matmul_precision() == before


def test_directions_without_spread_are_left_out():
    rows = torch.zeros(1000, 300)
    rows[:, :4] = noise(1000, 4)
    basis, spread = main_directions(rows, centre(rows), 10)
    assert basis.shape == (300, 4)
    assert spread.shape == (4,)


@pytest.mark.parametrize("width", [64, 400])
def test_it_finds_a_shifted_minority(width):
    rows, poisoned = shifted(1000, width)
    assert auroc(ActivationClustering().judge(view(rows)).values, poisoned) > 0.95


def test_whitening_finds_a_cluster_outside_the_widest_direction():
    """Why the paper's reduction is the default."""
    rows, poisoned = falling(1000, 64), torch.arange(1000) < 50
    rows[poisoned, 4] += 3.5
    whitened = ActivationClustering().judge(view(rows)).values
    plain = ActivationClustering(reduction="pca").judge(view(rows)).values
    assert auroc(whitened, poisoned) > 0.95
    assert auroc(plain, poisoned) < 0.8


def test_it_misses_poison_where_the_class_falls_apart_more_distinctly():
    rows, poisoned = shifted(1000, 64)
    rows[torch.arange(1000) % 2 == 0, 0] += 20
    assert auroc(ActivationClustering().judge(view(rows)).values, poisoned) < 0.7


def test_the_class_statistics_tell_a_poisoned_class():
    rows, labels = falling(1600, 64), torch.arange(1600) % 2
    rows[:100:2] += 2 * falling(1, 64, 1)
    poisoned, clean = ActivationClustering().clusters(view(rows, labels))
    assert (poisoned.label, clean.label) == (0, 1)
    assert abs(poisoned.share - 50 / 800) < 0.01
    assert clean.share > 0.4
    assert poisoned.silhouette > 2 * clean.silhouette


def test_the_silhouette_is_one_for_two_points_far_apart():
    rows = torch.cat([falling(10, 5) * 1e-3, falling(5, 5) * 1e-3 + 100])
    (found,) = ActivationClustering(reduction="pca").clusters(view(rows))
    assert found.share == pytest.approx(1 / 3)
    assert found.silhouette > 0.999


@pytest.mark.parametrize("count", [1, 2, 3])
def test_tiny_and_constant_classes_are_neutral(count):
    labels = torch.cat([torch.zeros(100), torch.ones(count), torch.full((20,), 3)]).long()
    rows = falling(120 + count, 30)
    rows[labels == 3] = 0.1
    scores = ActivationClustering().judge(view(rows, labels)).values
    assert not scores[labels != 0].any()
    assert scores[labels == 0].all()
    assert [found.label for found in ActivationClustering().clusters(view(rows, labels))] == [0]


def test_a_class_that_was_never_fitted_is_neutral():
    detector, rows = ActivationClustering(), falling(100, 30)
    state = detector.fit(view(rows))
    assert not detector.score(state, view(rows, torch.full((100,), 7))).any()


@pytest.mark.parametrize("width", [40, 400])
def test_the_order_of_the_examples_does_not_matter(width):
    rows, _ = shifted(1000, width)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    straight = ActivationClustering().judge(view(rows)).values
    mixed = ActivationClustering().judge(view(rows[order])).values
    torch.testing.assert_close(mixed, straight[order], rtol=1e-3, atol=1e-3)
