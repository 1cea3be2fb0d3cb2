"""Nearest neighbours: values by hand, a search one by one, what it sees and what it cannot."""

import pytest
import torch

from mithridate.core.errors import MethodError
from mithridate.core.view import View
from mithridate.detectors import nearest_neighbours
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.stats.ranking import auroc

METRICS = ["cosine", "euclidean"]


def noise(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def view(features, labels):
    return View(features=features, labels=labels)


def one_by_one(features, labels, k, metric):
    """The definition, example by example in 64 bits, for distinct distances."""
    points = features.double()
    if metric == "cosine":
        points = points / points.norm(dim=1, keepdim=True)
    scores = []
    for i in range(len(points)):
        distances = (points - points[i]).norm(dim=1)
        distances[i] = torch.inf
        same = labels == labels[i]
        count = min(k, int(same.sum()) - 1)
        strangers = int((~same[distances.argsort()[:count]]).sum())
        a, b = distances[same].min(), distances[~same].min()
        scores.append((strangers + float(a / (a + b))) / (count + 1))
    return torch.tensor(scores, dtype=torch.float64)


def groups(n, d=16, classes=4, apart=3.0):
    """Rows of classes that lie apart."""
    labels = torch.arange(n) % classes
    return noise(n, d) + apart * noise(classes, d, 1)[labels], labels


def test_values_by_hand():
    """Two classes on a line, two neighbours each; 2.1 lies as far from 0.9 as from 3.3."""
    rows = torch.tensor([[0.0], [1.0], [2.1], [3.3], [0.9], [6.0], [7.1], [8.3]])
    labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    found = NearestNeighbours(k=2, metric="euclidean").judge(view(rows, labels)).values
    expected = [(1 + 1 / 1.9) / 3, (1 + 1 / 1.1) / 3, (0.5 + 1.1 / 2.3) / 3, (0 + 1.2 / 3.6) / 3,
                (2 + 5.1 / 5.2) / 3, (0 + 1.1 / 3.8) / 3, (0 + 1.1 / 4.9) / 3,
                (0 + 1.2 / 6.2) / 3]  # fmt: skip
    torch.testing.assert_close(found, torch.tensor(expected).double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("apart", [0.0, 0.5])
def test_it_agrees_with_a_search_one_by_one(metric, apart):
    rows, labels = groups(300, apart=apart)
    labels[labels == 3] = torch.tensor([3, 3, 3, 3, 3, *[2] * 70])  # a class smaller than k
    found = NearestNeighbours(metric=metric).judge(view(rows, labels)).values
    expected = one_by_one(rows, labels, 10, metric)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_small_blocks_give_the_same(metric, monkeypatch):
    rows, labels = groups(300, apart=0.5)
    whole = NearestNeighbours(metric=metric).judge(view(rows, labels)).values
    monkeypatch.setattr(nearest_neighbours, "ENTRIES", 1000)
    parts = NearestNeighbours(metric=metric).judge(view(rows, labels)).values
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_an_example_is_not_its_own_neighbour_wherever_it_was_fitted(metric):
    rows, labels = groups(300, apart=0.5)
    detector = NearestNeighbours(metric=metric)
    state = detector.fit(view(rows, labels))
    together = detector.score(state, view(rows, labels))
    apart = detector.score(state, view(rows[100:150], labels[100:150]))
    torch.testing.assert_close(apart, together[100:150], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_at_equal_distances_count_in_equal_parts(metric):
    rows, labels = torch.full((60, 5), 3.0), torch.arange(60) % 3
    scores = NearestNeighbours(metric=metric).judge(view(rows, labels)).values
    torch.testing.assert_close(scores, torch.full((60,), 0.5).double())


@pytest.mark.parametrize("metric", METRICS)
def test_the_order_of_the_examples_does_not_matter_even_among_copies(metric):
    rows, labels = groups(90, apart=0.2)
    rows, labels = rows.repeat(5, 1), torch.arange(450) % 3
    order = torch.randperm(450, generator=torch.Generator().manual_seed(0))
    straight = NearestNeighbours(metric=metric).judge(view(rows, labels)).values
    mixed = NearestNeighbours(metric=metric).judge(view(rows[order], labels[order])).values
    torch.testing.assert_close(mixed, straight[order], rtol=1e-4, atol=1e-5)


def test_it_finds_labels_that_were_flipped():
    rows, labels = groups(1000)
    poisoned = (torch.arange(1000) < 100) & (labels != 0)
    labels[poisoned] = 0
    assert auroc(NearestNeighbours().judge(view(rows, labels)).values, poisoned) > 0.95


def test_it_misses_poison_that_forms_a_group_of_its_own():
    rows, labels = groups(1000)
    poisoned = (torch.arange(1000) < 100) & (labels != 0)
    labels[poisoned] = 0
    rows[poisoned] = rows[poisoned] * 0.2 + 5 * noise(1, 16, 2)
    assert auroc(NearestNeighbours().judge(view(rows, labels)).values, poisoned) < 0.6


@pytest.mark.parametrize("count", [1, 2, 3])
def test_tiny_classes_are_neutral(count):
    rows, labels = groups(100 + count)
    labels = labels.clamp_max(2)
    labels[-count:] = 3
    scores = NearestNeighbours().judge(view(rows, labels)).values
    assert not scores[labels == 3].any()
    assert scores[labels != 3].all()


def test_one_class_alone_has_no_strangers():
    rows, _ = groups(50)
    assert not NearestNeighbours().judge(view(rows, torch.zeros(50).long())).values.any()


def test_it_needs_a_neighbour():
    with pytest.raises(MethodError, match="at least 1 neighbour, found 0"):
        NearestNeighbours(k=0).judge(view(*groups(20)))
