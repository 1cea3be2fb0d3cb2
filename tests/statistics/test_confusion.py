"""Labels against predictions: exact tests of guessing, and the best order of classes."""

import itertools

import numpy as np
import pytest
from scipy.stats import binom

from mithridate.core.streams import stream
from mithridate.stats.confusion import (
    best_order,
    confusion,
    guessed,
    guessing_p_value,
    sign_p_value,
)


def test_the_table_counts_labels_by_rows_and_leaves_out_what_has_no_answer():
    labels, predicted = np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 2, -1])
    assert confusion(labels, predicted, 3).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_guessing_is_the_product_of_the_shares():
    assert guessed(np.array([[3, 1], [2, 4]])) == pytest.approx(0.4 * 0.5 + 0.6 * 0.5)
    assert guessed(np.array([[0, 7], [0, 3]])) == pytest.approx(0.3), "one answer for everything"


def test_one_answer_for_everything_is_never_better_than_guessing():
    labels = np.arange(60) % 3
    assert guessing_p_value(labels, np.zeros(60, dtype=np.int64), stream(0)) == 1.0


def test_the_test_of_guessing_keeps_its_level_with_uneven_classes():
    """Of networks that do not look, at most the stated share seems to know something."""
    shares, worlds = [0.7, 0.2, 0.1], 400
    low = 0
    for seed in range(worlds):
        rng = stream(seed, "world")
        labels, predicted = rng.choice(3, size=(2, 80), p=shares)
        low += guessing_p_value(labels, predicted, rng, draws=99) <= 0.05
    assert low <= binom.ppf(0.999, worlds, 0.05)
    assert low >= binom.ppf(0.001, worlds, 0.02), "an exact test is not far below its level either"


def test_a_modest_network_is_better_than_guessing():
    labels = stream(1).integers(0, 10, 300)
    modest = np.where(stream(2).random(300) < 0.15, labels, stream(3).integers(0, 10, 300))
    assert guessing_p_value(labels, modest, stream(4)) <= 0.01


def test_the_sign_test_counts_only_where_the_two_differ():
    first, second = np.array([1, 1, 1, 1, 0, 1], dtype=bool), np.array([0, 0, 0, 0, 0, 1], bool)
    assert sign_p_value(first, second) == pytest.approx(1 / 16)
    assert sign_p_value(second, first) == 1.0
    assert sign_p_value(first, first) == 1.0


def test_the_best_order_is_the_best_of_all():
    for seed in range(20):
        table = stream(seed).integers(0, 9, (5, 5))
        order = best_order(table)
        best = max(
            sum(table[row, column] for column, row in enumerate(rows))
            for rows in itertools.permutations(range(5))
        )
        assert sum(table[row, column] for column, row in enumerate(order)) == best


def test_classes_that_nothing_tells_apart_stay_in_place():
    table = np.zeros((4, 4), dtype=np.int64)
    table[0, 1] = table[1, 0] = 5
    assert best_order(table).tolist() == [1, 0, 2, 3]
    assert best_order(np.zeros((4, 4), dtype=np.int64)).tolist() == [0, 1, 2, 3]
