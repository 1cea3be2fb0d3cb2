"""What a table of labels against predictions says: better than guessing, and in which order.

Axes: n examples, c classes; tables are int64[c, c], labels by rows and predictions by columns.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import NDArray

Counts = NDArray[np.int64]

PERMUTATIONS = 999
"""Draws behind the p-value of guessing; the smallest that can come out is 1 in 1,000."""


def confusion(labels: Counts, predicted: Counts, classes: int) -> Counts:
    """Count how often each label meets each prediction.

    Args:
        labels: int64[n], from 0 to c - 1.
        predicted: int64[n], likewise; a negative number is no answer, and is not counted.
        classes: c.

    """
    there = predicted >= 0
    places = labels[there] * classes + predicted[there]
    return np.bincount(places, minlength=classes * classes).reshape(classes, classes)


def guessed(table: Counts) -> float:
    """Give the share that would be right if the same predictions were handed out at random.

    The sum over the classes of (share of the labels) x (share of the predictions), in [0, 1]. One
    prediction for everything is right on the share of its class, by guessing and as it stands.
    """
    n = max(1, int(table.sum()))
    return float((table.sum(1) / n) @ (table.sum(0) / n))


def guessing_p_value(
    labels: Counts, predicted: Counts, rng: np.random.Generator, draws: int = PERMUTATIONS
) -> float:
    """Test whether predictions know anything of the labels: the p-value of a permutation test.

    The statistic is the number of examples whose prediction is their label. Its null hands the same
    predictions out in random orders, so the test is exact whatever the shares of the classes are,
    and a constant prediction has the p-value 1.

    Args:
        labels: int64[n].
        predicted: int64[n].
        rng: draws the orders.
        draws: number of orders.

    """
    observed = int((labels == predicted).sum())
    shuffled = predicted.copy()
    reached = 0
    for _ in range(draws):
        rng.shuffle(shuffled)
        reached += int((labels == shuffled).sum()) >= observed
    return (1 + reached) / (1 + draws)


def sign_p_value(better: NDArray[np.bool_], worse: NDArray[np.bool_]) -> float:
    """Test whether the first of two readings is right more often: an exact sign test, one-sided.

    Only examples that one reading gets right and the other wrong count. McNemar 1947, exact form.

    Args:
        better: bool[n], where the first reading is right.
        worse: bool[n], where the second is right.

    """
    gained, lost = int((better & ~worse).sum()), int((worse & ~better).sum())
    if not gained + lost:
        return 1.0
    return float(scipy.stats.binomtest(gained, gained + lost, 0.5, alternative="greater").pvalue)


def best_order(table: Counts) -> Counts:
    """Find the class that each prediction should stand for, so that most examples are right.

    The assignment problem over all c! orders; where several are equally good, the one that keeps
    most classes in place. Returns int64[c], the class for each prediction.
    """
    classes = len(table)
    worth = table * (classes + 1) + np.eye(classes, dtype=table.dtype)
    rows, columns = scipy.optimize.linear_sum_assignment(worth, maximize=True)
    order = np.empty(classes, dtype=np.int64)
    order[columns] = rows
    return order
