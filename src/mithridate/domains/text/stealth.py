"""How far a text was changed, measured on its words.

No language model is asked: meaning is not seen, only which words stand where. Axes: n texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import exp, log, sqrt

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import DataError
from mithridate.domains.text.words import check, words

START, END = "<start>", "<end>"
"""Marks around a text; `words` never gives either."""

WEIGHTS = (0.6, 0.3, 0.1)
"""Shares of pairs of words, of single words and of the uniform guess in a word's probability."""


def _check_twins(before: Inputs, after: Inputs) -> None:
    """Raise DataError where these are not as many texts as those."""
    check(before)
    check(after)
    if len(before) != len(after):
        raise DataError(
            "texts can only be compared with their changed twins: expected "
            f"{len(before)} texts, found {len(after)}; drop the rows that have no twin"
        )


def difference(before: Inputs, after: Inputs) -> dict[str, torch.Tensor]:
    """Compare texts object[n] of str with their changed twins, float64[n] for each measure.

    edits: share of words changed, the edit distance of the words over the length of the longer
    text, 0..1, larger is easier to notice; cosine: of the counts of words, 0..1, smaller is easier
    to notice, blind to their order; length: words after over words before, one added to both, 1 is
    no change; perplexity: after over before under pairs of words of the other texts in `before`,
    larger is easier to notice. Case and white space are not seen.

    Raises:
        DataError: where the numbers of texts differ.
    """
    _check_twins(before, after)
    first, second = [words(text) for text in before], [words(text) for text in after]
    pairs = list(zip(first, second, strict=True))
    measures = {
        "edits": [edits(a, b) / max(len(a), len(b), 1) for a, b in pairs],
        "cosine": [cosine(a, b) for a, b in pairs],
        "length": [(len(b) + 1) / (len(a) + 1) for a, b in pairs],
        "perplexity": perplexity_ratios(first, second),
    }
    return {name: torch.tensor(column, dtype=torch.float64) for name, column in measures.items()}


def edits(first: Sequence[str], second: Sequence[str]) -> int:
    """Count the fewest insertions, deletions and replacements of words. Levenshtein 1966."""
    same = 0
    while same < min(len(first), len(second)) and first[same] == second[same]:
        same += 1
    number: dict[str, int] = {}
    a, b = (
        np.array([number.setdefault(word, len(number)) for word in side[same:]], dtype=np.int64)
        for side in (first, second)
    )
    places = np.arange(len(b) + 1)
    row = places
    for done, word in enumerate(a, start=1):
        cheapest = np.minimum(row[1:] + 1, row[:-1] + (b != word))
        # insertions run along the row: each place is the least of those left of it, plus the way
        row = np.minimum.accumulate(np.concatenate([[done], cheapest]) - places) + places
    return int(row[-1])


def cosine(first: Sequence[str], second: Sequence[str]) -> float:
    """Give the cosine of the two counts of words; 1 where both texts are empty, 0 where one is."""
    a, b = Counter(first), Counter(second)
    if a == b:
        return 1.0
    lengths = sum(c * c for c in a.values()) * sum(c * c for c in b.values())
    return sum(count * b[word] for word, count in a.items()) / sqrt(lengths or 1)


def perplexity_ratios(
    before: Sequence[Sequence[str]], after: Sequence[Sequence[str]]
) -> list[float]:
    """Give the perplexity of each text after over before, under the other texts in `before`.

    A word w after v has the probability 0.6 c(v, w) / c(v) + 0.3 c(w) / c + 0.1 / V with counts c
    and V words known, an end mark and a strange word among them. A text's own words are taken out
    of the counts, or it would be judged by itself. Jelinek and Mercer 1980, with fixed weights.
    """
    model = _Pairs()
    for text in before:
        model.count(text, 1)
    ratios = []
    for old, new in zip(before, after, strict=True):
        model.count(old, -1)
        ratios.append(exp(model.surprise(new) - model.surprise(old)))
        model.count(old, 1)
    return ratios


class _Pairs:
    """Counts of words, of words that something follows, and of neighbouring words."""

    def __init__(self) -> None:
        self.single: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self.pair: Counter[tuple[str, str]] = Counter()
        self.total = 0

    def count(self, text: Sequence[str], times: int) -> None:
        """Add a text so many times; minus one takes it out."""
        for left, word in pairwise([START, *text, END]):
            self.single[word] += times
            self.left[left] += times
            self.pair[left, word] += times
            self.total += times

    def surprise(self, text: Sequence[str]) -> float:
        """Mean of -log p over the words and the end of a text: the log of its perplexity."""
        total = 0.0
        by_pair, by_word, uniform = WEIGHTS
        for left, word in pairwise([START, *text, END]):
            chance = uniform / (len(self.single) + 1)
            chance += by_word * self.single[word] / max(self.total, 1)
            chance += by_pair * self.pair[left, word] / max(self.left[left], 1)
            total -= log(chance)
        return total / (len(text) + 1)
