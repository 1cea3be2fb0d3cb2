"""Before and after a defence, by hand."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from mithridate.bench.metrics.comparing import compare, paired_difference_of_means
from mithridate.bench.step import Output
from mithridate.stats.intervals import Interval, proportion


def flags(text):
    return torch.tensor([c == "1" for c in text])


def outcome(right, hit):
    a, b = flags(right), flags(hit)
    metrics = {
        "accuracy": proportion(int(a.sum()), len(a)), "asr": proportion(int(b.sum()), len(b)),
    }  # fmt: skip
    return Output({"right": a, "hit": b}, {"metrics": {n: list(m) for n, m in metrics.items()}})


def judged(before, after, attacked=True):
    metrics = {name: Interval(*m) for name, m in after.facts["metrics"].items()}
    return compare(before, after, metrics, attacked), metrics


def test_a_paired_difference_and_its_interval_by_hand():
    found = paired_difference_of_means(outcome("1101", "1"), outcome("1010", "1"), "right")
    # differences 0, 1, -1, 1: mean 1/4, variance (1/16 + 9/16 + 25/16 + 9/16) / 3 = 44/48
    half = stats.t.ppf(0.975, 3) * math.sqrt(44 / 48) / 2
    assert found.value == 0.25 and found.n == 4
    assert found.low == pytest.approx(0.25 - half) and found.high == pytest.approx(0.25 + half)


def test_pairing_is_by_example_and_not_by_rate():
    swapped = paired_difference_of_means(outcome("10", "1"), outcome("01", "1"), "right")
    same = paired_difference_of_means(outcome("10", "1"), outcome("10", "1"), "right")
    assert swapped.value == same.value == 0.0
    assert same[:3] == (0.0, 0.0, 0.0) and swapped.high > 1


def test_one_example_bounds_nothing():
    found = paired_difference_of_means(outcome("1", "1"), outcome("0", "1"), "right")
    assert found == Interval(1.0, -np.inf, np.inf, 1)


def test_effectiveness_is_the_share_of_the_attack_that_is_gone():
    before = outcome("1" * 10, "1111100000")
    _, metrics = judged(before, outcome("1" * 10, "1100000000"))
    assert metrics["asr_reduction"].value == pytest.approx(0.3)
    assert metrics["effectiveness"].value == pytest.approx(0.3 / 0.5)
    assert metrics["effectiveness"].low == pytest.approx(metrics["asr_reduction"].low / 0.5)
    assert metrics["effectiveness"].high == pytest.approx(metrics["asr_reduction"].high / 0.5)
    _, metrics = judged(before, outcome("1" * 10, "1" * 10))
    assert metrics["effectiveness"].value == pytest.approx(-1.0), "it got stronger"
    _, metrics = judged(before, outcome("1" * 10, "0" * 10))
    assert metrics["effectiveness"].value == pytest.approx(1.0)


def test_effectiveness_is_not_measured_where_there_was_nothing_to_take_away():
    for before, attacked in ((outcome("11", "00"), True), (outcome("11", "11"), False)):
        assert "effectiveness" not in judged(before, outcome("11", "00"), attacked)[1]


TEN = "1" * 10


@pytest.mark.parametrize(
    "right, hit, attacked, expected",
    [
        (TEN, "0" * 20, True, "secure"),
        (TEN, "0" * 19 + "1", True, "secure"),
        (TEN, "0" * 18 + "11", True, "open"),  # 10 % is not below 10 %
        (TEN, "1" * 20, True, "open"),
        ("0" + TEN[1:], "0" * 20, True, "destroyed"),  # 10 points
        ("0" * 10, "0" * 20, True, "destroyed"),  # no attack works, nor anything else
        ("0" * 10, "1" * 20, True, "destroyed"),
        (TEN, "0" * 20, False, "kept"),
        (TEN, "1" * 20, False, "kept"),
        ("0" + TEN[1:], "0" * 20, False, "destroyed"),
    ],
)
def test_how_a_cell_ends(right, hit, attacked, expected):
    assert judged(outcome(TEN, "1" * 20), outcome(right, hit), attacked)[0] == expected


def test_a_better_network_is_no_loss():
    before = outcome("0" * 10, "1" * 20)
    ended, metrics = judged(before, outcome(TEN, "0" * 20))
    assert ended == "secure" and metrics["accuracy_reduction"].value == -1.0
