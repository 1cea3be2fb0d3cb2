"""The chance of what follows two neighbours, against the formula written out."""

import math
from collections import Counter

import numpy as np
import pytest

from mithridate.stats.sequences import NeighbourModel, counted, drops, followers, numbers

SEQUENCES = [list(s) for s in ("abcab", "abd", "cab", "", "zz", "b", "abd")]


def surprise(train, sequence):
    """-log p of a sequence and its end, by the definition."""
    counts = Counter()
    for each in train:
        marked = ["<", "<", *each, ">"]
        for i in range(2, len(marked)):
            counts.update(tuple(marked[i - order : i + 1]) for order in range(3))
    known = sum(len(key) == 1 for key in counts)

    def chance(last, history):
        follow = [n for key, n in counts.items() if key[:-1] == history]
        lower = chance(last, history[1:]) if history else 1 / (known + 1)
        times = counts[(*history, last)]
        return (times + len(follow) * lower) / (sum(follow) + len(follow)) if follow else lower

    marked = ["<", "<", *sequence, ">"]
    logs = [math.log(chance(marked[i], tuple(marked[i - 2 : i]))) for i in range(2, len(marked))]
    return -sum(logs)


def by_definition(train, sequence):
    whole = surprise(train, sequence)
    return [whole - surprise(train, sequence[:k] + sequence[k + 1 :]) for k in range(len(sequence))]


@pytest.mark.parametrize("train", [SEQUENCES, [[]], [["a"]]])
def test_what_each_place_adds_to_the_surprise_of_new_sequences(train):
    model = NeighbourModel(counts := counted(*numbers(train)), followers(counts))
    new = [list("abq"), [], list("cabd"), list("x")]
    found = drops(model, *numbers(new), np.zeros(0, np.int64))
    assert found.tolist() == pytest.approx([x for s in new for x in by_definition(train, s)])


def test_a_sequence_that_was_counted_is_judged_as_if_it_had_not_been():
    model = NeighbourModel(counts := counted(*numbers(SEQUENCES)), followers(counts))
    found = drops(model, *numbers(SEQUENCES), np.array([0, 1, 2, 3, 4, 5]))
    without = [by_definition(SEQUENCES[:i] + SEQUENCES[i + 1 :], SEQUENCES[i]) for i in range(6)]
    without.append(by_definition(SEQUENCES, SEQUENCES[6]))
    assert found.tolist() == pytest.approx([x for each in without for x in each])


def test_names_keep_their_numbers_whatever_else_is_there():
    assert numbers([["b"], ["a", "b"]])[0].tolist()[2] == numbers([["b"]])[0].tolist()[0] >= 0
