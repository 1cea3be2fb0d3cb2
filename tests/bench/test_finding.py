"""What a filter found, by hand and by slow literal formulas."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm

from mithridate.bench.metrics.evaluate import find_recovered
from mithridate.bench.metrics.finding import measure_filter
from mithridate.core.data import Truth, dataset
from mithridate.stats.intervals import proportion
from mithridate.stats.ranking import auroc_interval, roc


def flags(text):
    return torch.tensor([c == "1" for c in text])


def truth(text):
    poisoned = flags(text)
    return Truth(poisoned, torch.zeros_like(poisoned), torch.zeros(len(poisoned)).long())


def found(flagged, poisoned, labels=None, **more):
    labels = torch.zeros(len(poisoned)).long() if labels is None else torch.tensor(labels)
    return measure_filter({"flagged": flags(flagged), **more}, truth(poisoned), labels)


def test_rates_of_a_list_by_hand():
    metrics, curves = found("1101000000", "1110000000")
    assert metrics["realised_tpr"] == proportion(2, 3)
    assert metrics["realised_fpr"] == proportion(1, 7)
    assert metrics["realised_fdr"] == proportion(1, 3)
    assert metrics["flagged"] == (0.3, -math.inf, math.inf, 10)
    assert set(metrics) == {"realised_tpr", "realised_fpr", "realised_fdr", "flagged"}
    assert curves == {}, "no ranking, no curve"


def test_a_list_of_nothing_and_data_without_poison():
    metrics, _ = found("0000", "1100")
    assert metrics["realised_tpr"].value == 0.0 and math.isnan(metrics["realised_fdr"].value)
    assert metrics["realised_fdr"][1:] == (0.0, 1.0, 0)
    scores = torch.arange(4.0)
    metrics, curves = found("1000", "0000", scores=scores)
    assert set(metrics) == {"realised_fpr", "realised_fdr", "flagged"} and curves == {}
    assert metrics["realised_fdr"].value == 1.0 and metrics["realised_fpr"].value == 0.25


def test_a_ranking_by_hand():
    # poison scores 9 and 3 in class 0, where clean ones score 5 and 1; class 1 scores 8, 8
    scores = torch.tensor([9.0, 3.0, 5.0, 1.0, 8.0, 8.0, 99.0])  # the last is a trusted example
    metrics, curves = found(
        "100000", "110000", [0, 0, 0, 0, 1, 1], scores=scores, p_values=torch.ones(6)
    )
    # pairs won over 5 1 8 8: by 9 all four, by 3 one
    assert metrics["auroc"].value == pytest.approx(5 / 8) and metrics["auroc"].n == 2
    assert metrics["auroc_in_class"].value == pytest.approx(3 / 4)
    assert metrics["tpr_1"] == metrics["tpr_5"] == proportion(1, 2)
    assert curves["roc"][0] == [0.0, 0.5] and curves["roc"][-1] == [1.0, 1.0]


def test_the_curve_is_that_of_every_threshold():
    rng = np.random.default_rng(3)
    poisoned = torch.from_numpy(rng.random(300) < 0.2)
    scores = torch.from_numpy(rng.integers(0, 40, 300) + 12.0 * poisoned.numpy())
    curve = roc(scores, poisoned)
    assert [r for r, _ in curve] == sorted(r for r, _ in curve)
    assert [t for _, t in curve] == sorted(t for _, t in curve)
    for rate, share in curve[::7]:
        best = max(
            float((scores[poisoned] > s).double().mean())
            for s in [-1.0, *scores.tolist()]
            if float((scores[~poisoned] > s).double().sum()) <= rate * int((~poisoned).sum()) + 2e-3
        )
        assert share == pytest.approx(best, abs=1e-5), rate


def test_calibration_is_the_largest_error_over_the_levels():
    # of 100 clean examples 3 have p <= 1 %, 3 have p <= 5 %, 4 have p <= 10 %; poison is left out
    p = torch.cat([torch.tensor([0.001, 0.009, 0.01, 0.08]), torch.full((96,), 0.7),
                   torch.zeros(50)]).double()  # fmt: skip
    metrics, _ = found("0" * 150, "0" * 100 + "1" * 50, p_values=p)
    assert metrics["calibration_error"].value == pytest.approx(0.06)  # at 10 %: 4 % instead
    even = (torch.arange(1000) + 1).double() / 1000
    metrics, _ = found("0" * 1001, "0" * 1000 + "1", p_values=torch.cat([even, torch.zeros(1)]))
    assert metrics["calibration_error"].value == pytest.approx(0.0, abs=1e-9)


def test_data_of_poison_alone_have_no_ranking():
    metrics, _ = found("11", "11", scores=torch.tensor([1.0, 2.0]))
    assert "tpr_1" not in metrics or math.isnan(metrics["tpr_1"].value)
    assert metrics["realised_tpr"].value == 1.0


def slow_delong(scores, positive, level=0.95):
    """The structural components, pair by pair (DeLong, DeLong and Clarke-Pearson 1988)."""
    xs = [s for s, p in zip(scores, positive, strict=True) if p]
    ys = [s for s, p in zip(scores, positive, strict=True) if not p]

    def wins(x, y):
        return 1.0 if x > y else 0.5 if x == y else 0.0

    area = sum(wins(x, y) for x in xs for y in ys) / (len(xs) * len(ys))
    by_x = [sum(wins(x, y) for y in ys) / len(ys) for x in xs]
    by_y = [sum(wins(x, y) for x in xs) / len(xs) for y in ys]
    s10 = sum((v - area) ** 2 for v in by_x) / (len(xs) - 1)
    s01 = sum((v - area) ** 2 for v in by_y) / (len(ys) - 1)
    half = norm.ppf((1 + level) / 2) * math.sqrt(s10 / len(xs) + s01 / len(ys))
    return area, max(0.0, area - half), min(1.0, area + half), len(xs)


@pytest.mark.parametrize("seed", range(8))
def test_the_interval_of_an_area_is_delongs(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(6, 60))
    positive = rng.permutation(np.arange(n) < max(2, n // 3))
    scores = rng.integers(0, 5 + 10 * (seed % 3), n) + 2.0 * positive  # with ties and without
    level = 0.8 if seed % 2 else 0.95
    found = auroc_interval(torch.from_numpy(scores), torch.from_numpy(positive), level)
    assert tuple(found) == pytest.approx(slow_delong(scores, positive, level))


def test_the_interval_of_an_area_covers_it():
    rng, hits, worlds = np.random.default_rng(0), 0, 600
    shift = 1.0
    area = norm.cdf(shift / math.sqrt(2))
    positive = torch.arange(240) < 40
    for _ in range(worlds):
        scores = torch.from_numpy(rng.normal(size=240) + shift * positive.numpy())
        _, low, high, _ = auroc_interval(scores, positive)
        hits += low <= area <= high
    assert 0.92 <= hits / worlds <= 0.98  # four standard errors around 95 %


def test_an_area_of_one_positive_has_no_interval():
    found = auroc_interval(torch.tensor([1.0, 2.0, 3.0]), flags("001"))
    assert found == (1.0, 0.0, 1.0, 1)


def test_recovered_inputs_are_called_by_their_own_label():
    test = dataset(torch.zeros(6, 1), [0, 1, 2, 1, 0, 2])
    test = test.subset([5, 1, 3, 0])  # ids 5 1 3 0, labels 2 1 1 0
    triggered_test = test.subset([2, 0, 1])  # ids 3 5 1, labels before the attack 1 2 1
    triggered_test = type(triggered_test)(
        triggered_test.inputs, torch.zeros(3).long(), triggered_test.ids, triggered_test.classes
    )
    predicted = torch.tensor([1, 0, 0])
    assert find_recovered(predicted, triggered_test, test).tolist() == [True, False, False]
    assert find_recovered(torch.tensor([1, 2, 1]), triggered_test, test).tolist() == [True] * 3
