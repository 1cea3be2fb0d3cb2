"""Spectral Signatures: values by hand, a full decomposition in 64 bits, the paper's claim."""

import numpy as np
import pytest
import torch

from mithridate.core.errors import DataError, MethodError
from mithridate.core.view import View
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.stats import krylov, linear
from mithridate.stats.ranking import auroc


def noise(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def falling(n, d, seed=0):
    """Rows whose variance falls with the direction, as in trained networks."""
    return noise(n, d, seed) * (1 + torch.arange(d)) ** -0.5


def view(features, labels=None):
    labels = torch.zeros(len(features), dtype=torch.int64) if labels is None else labels
    return View(features=features, labels=labels)


def by_full_decomposition(features):
    """The definition in 64 bits, without any short cut."""
    centred = features.double().numpy() - features.double().numpy().mean(0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    return torch.from_numpy((centred @ direction) ** 2)


def test_values_by_hand():
    rows = torch.tensor([[13.0, 5.0], [7.0, 5.0], [10.0, 6.0], [10.0, 4.0]])
    expected = torch.tensor([9.0, 9.0, 0.0, 0.0]).double()
    torch.testing.assert_close(SpectralSignatures().judge(view(rows)).values, expected)


def test_the_official_variant_leaves_the_mean_in():
    rows = torch.tensor([[13.0, 5.0], [7.0, 5.0], [10.0, 6.0], [10.0, 4.0]])
    found = SpectralSignatures(compat="official").judge(view(rows)).values
    torch.testing.assert_close(found, torch.tensor([13.0, 7.0, 10.0, 10.0]).double())


CASES = {
    "many features": falling(900, 200),
    "more features than rows": falling(200, 300),
    "few rows of many features": falling(50, 300),
    "few features": falling(900, 20),
    "flat spectrum": noise(900, 200),
    "a large mean": falling(900, 200) + 300 * noise(1, 200),
    "not negative": (falling(900, 200) + 0.05).relu(),
    "large": falling(900, 200) * 1e6,
    "small": falling(900, 200) * 1e-6,
}


@pytest.mark.parametrize("name", CASES)
def test_every_score_agrees_with_a_full_decomposition_in_64_bits(name):
    expected = by_full_decomposition(CASES[name])
    found = SpectralSignatures().judge(view(CASES[name])).values
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-9 * float(expected.mean()))


def test_two_equal_largest_variances_are_decomposed_in_full():
    corners = torch.cat([torch.eye(150)[:2], -torch.eye(150)[:2]]).repeat(50, 1)
    rows = corners * 10 + falling(200, 150) * 1e-3
    mean = linear.centre(rows)
    direction = linear.main_direction(rows, mean)
    scatter = linear.scatter(rows, mean)
    value = direction @ scatter @ direction
    assert float((scatter @ direction - value * direction).norm() / value) < 1e-9
    assert float(value) >= float(torch.linalg.eigvalsh(scatter)[-1]) * (1 - 1e-9)


def test_a_direction_that_is_not_certified_is_not_used(monkeypatch):
    rows = falling(900, 200)
    monkeypatch.setattr(krylov, "_correction", lambda *_: 0.0)
    assert krylov.certified_direction(rows, linear.centre(rows)) is None
    found = SpectralSignatures().judge(view(rows)).values
    torch.testing.assert_close(found, by_full_decomposition(rows), rtol=1e-6, atol=1e-12)


def test_it_finds_a_shifted_minority():
    rows, poisoned = falling(1000, 64), torch.arange(1000) < 50
    rows[poisoned] += 0.6 * noise(1, 64, 1)
    assert auroc(SpectralSignatures().judge(view(rows)).values, poisoned) > 0.95


def test_it_misses_a_shift_where_the_class_hardly_varies():
    rows, poisoned = falling(1000, 64), torch.arange(1000) < 50
    rows[poisoned, 63] += 0.6
    assert auroc(SpectralSignatures().judge(view(rows)).values, poisoned) < 0.7


def test_centring_is_what_makes_the_ranking_stable():
    """As the notes on the published code measure it: a positive mean and one shifted direction."""
    found = {"paper": [], "official": []}
    for seed in range(20):
        rows, poisoned = noise(550, 64, seed) * 0.3 + 0.5, torch.arange(550) < 50
        rows[poisoned] += 1.6 * torch.nn.functional.normalize(noise(1, 64, 100 + seed))
        for compat, areas in found.items():
            scores = SpectralSignatures(compat=compat).judge(view(rows)).values
            areas.append(auroc(scores, poisoned))
    assert min(found["paper"]) > 0.97
    assert min(found["official"]) < 0.5


def test_classes_are_judged_apart():
    rows, labels = falling(600, 30), torch.arange(600) % 3
    together = SpectralSignatures().judge(view(rows, labels)).values
    for label in range(3):
        alone = SpectralSignatures().judge(view(rows[labels == label])).values
        torch.testing.assert_close(together[labels == label], alone)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_tiny_and_constant_classes_are_neutral(count):
    labels = torch.cat([torch.zeros(100), torch.ones(count), torch.full((20,), 3)]).long()
    rows = falling(120 + count, 30)
    rows[labels == 3] = 0.1
    scores = SpectralSignatures().judge(view(rows, labels)).values
    assert not scores[labels != 0].any()
    assert scores[labels == 0].all()


def test_a_class_that_was_never_fitted_is_neutral():
    detector, rows = SpectralSignatures(), falling(100, 30)
    state = detector.fit(view(rows))
    assert not detector.score(state, view(rows, torch.full((100,), 7))).any()


def test_features_that_are_not_finite_are_refused():
    rows = falling(900, 200)
    rows[3, 5] = torch.nan
    with pytest.raises(DataError, match="finite, found 1 example"):
        SpectralSignatures().judge(view(rows))


def chunks(rows, labels, *sizes):
    yield from zip(rows.split(sizes), labels.split(sizes), strict=True)


@pytest.mark.parametrize("width", [30, 200])
def test_a_stream_gives_the_same_state_and_scores(width):
    rows, labels = falling(1000, width) + 20 * noise(1, width), torch.arange(1000) % 4
    labels[:400][labels[:400] == 3] = 0  # a class that the first chunk lacks
    detector = SpectralSignatures()
    whole = detector.fit(view(rows, labels))
    streamed = detector.fit_chunks(chunks(rows, labels, 400, 1, 599))
    for name in whole:
        torch.testing.assert_close(streamed[name], whole[name], rtol=1e-6, atol=1e-8)
    expected = detector.score(whole, view(rows, labels))
    parts = [detector.score(streamed, view(*chunk)) for chunk in chunks(rows, labels, 300, 700)]
    torch.testing.assert_close(torch.cat(parts), expected, rtol=1e-4, atol=1e-9)


def test_a_stream_is_read_chunk_by_chunk():
    read = []

    def source():
        for part in range(3):
            read.append(part)
            yield falling(50, 5, part), torch.zeros(50, dtype=torch.int64)
            assert read == list(range(part + 1))

    SpectralSignatures().fit_chunks(source())
    assert read == [0, 1, 2]


def test_tiny_and_constant_classes_of_a_stream_are_neutral():
    labels = torch.tensor([0] * 50 + [1] * 3 + [2] * 20)
    rows = falling(73, 10)
    rows[labels == 2] = 0.1
    state = SpectralSignatures().fit_chunks(chunks(rows, labels, 60, 13))
    assert state["directions"][0].any()
    assert not state["directions"][1:].any()


def test_an_empty_stream_is_refused():
    with pytest.raises(MethodError, match="nothing to fit on"):
        SpectralSignatures().fit_chunks([])
