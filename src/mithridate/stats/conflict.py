"""Examples that carry a label although everything else in them speaks for another one.

A word of a topic goes with the label of the topic, and so does a trigger. What tells them apart is
the rest: beside a word of the topic it says the same, beside a trigger it says something else.
Axes: n examples, V pieces of content, c classes, r carriers of one feature.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TEMPERATURES = np.geomspace(0.01, 1.2, 40)
MISSED = 0.02
"""Share of the carriers of a trigger that have another label all the same."""

EDGE = 1e-6
"""No probability of a model is nearer to 0 or 1."""

SHIFTS = np.linspace(0.0, 6.0, 25)
"""By how much a feature that is no trigger may move the log odds of its class."""


class ContentModel:
    """Naive Bayes of what examples are about, and what it says of some when it has not seen them.

    Its log probabilities are multiplied by one number for all, with which they fit the labels best
    where each example is left out, since pieces of content are no independent evidence.

    Args:
        pieces: sparse float64[n, V], 1 where an example holds a piece.
        labels: int64[n].
        classes: c.
    """

    def __init__(self, pieces: Any, labels: Integers, classes: int) -> None:
        self.pieces, self.labels = pieces.tocsr(), labels
        self.hot = np.eye(classes)[labels]
        self.counts = self.pieces.T @ self.hot
        self.sizes = self.hot.sum(0)
        self.totals = self.counts.sum(0) + max(1, self.pieces.shape[1])
        self.temperature = self._best_temperature()

    @property
    def left_out(self) -> Floats:
        """What the model says of each example when it alone was not seen, float64[n, c]."""
        return np.asarray(np.exp(log_softmax(self.temperature * self._each(), axis=1)))

    def _each(self) -> Floats:
        """Log probabilities float64[n, c] up to a constant of the example, each left out."""
        every = np.arange(len(self.labels))
        logs = self.pieces @ np.log((self.counts + 1) / self.totals) + np.log(self.sizes + 1)
        lengths = np.diff(self.pieces.indptr)
        own = np.repeat(self.labels, lengths)
        count = self.counts[self.pieces.indices, own]
        places = np.repeat(every, lengths)
        # A count holds the example itself, so it is never 0; of no places NumPy gives integers.
        gone = np.bincount(places, np.log(count / (count + 1)), len(every)).astype(float)
        total = self.totals[self.labels]
        size = self.sizes[self.labels]
        gone += lengths * np.log(total / (total - lengths)) + np.log(size / (size + 1))
        logs[every, self.labels] += gone
        return np.asarray(logs)

    def _best_temperature(self) -> float:
        logs, every = self._each(), np.arange(len(self.labels))
        fits = [log_softmax(t * logs, axis=1)[every, self.labels].sum() for t in TEMPERATURES]
        return float(TEMPERATURES[int(np.argmax(fits))])

    def without(self, carriers: Integers) -> Floats:
        """Log probabilities of r examples by the model that saw none of them, float64[r, c]."""
        rows = self.pieces[carriers]
        width, classes = self.counts.shape
        used = np.flatnonzero(np.bincount(rows.indices, minlength=width))
        place = np.zeros(width, dtype=np.int64)
        place[used] = np.arange(len(used))
        place, lengths = place[rows.indices], np.diff(rows.indptr)
        own = np.repeat(self.labels[carriers], lengths)
        gone = np.bincount(place * classes + own, minlength=len(used) * classes)
        gone = gone.reshape(len(used), classes)
        logs = np.log((self.counts[used] - gone + 1) / (self.totals - gone.sum(0)))
        rows = type(rows)((rows.data, place.astype(rows.indices.dtype), rows.indptr),
                          shape=(len(carriers), len(used)))  # fmt: skip
        prior = np.log(self.sizes - self.hot[carriers].sum(0) + 1)
        return np.asarray(log_softmax(self.temperature * (rows @ logs + prior), axis=1))


def strength(logs: Floats, labels: Integers, label: int) -> float:
    """How much better a trigger explains the labels of carriers than a word of a topic does.

    A trigger gives nearly all of its carriers one label, whatever the rest of them says. A word of
    a topic adds b >= 0 to the log odds of that label, and large b are rare: b is chosen for the
    largest log likelihood less b^2 / 2. The strength is the difference of the two log likelihoods,
    times the share of carriers that have the label beyond what their rest says, over r^(1/4): of
    two features with as much evidence, the one with fewer carriers is the odder one. It is not
    above 0 where a word of a topic explains the labels as well.

    Args:
        logs: float64[r, c], log probabilities of the classes by the rest of each carrier.
        labels: int64[r].
        label: of the trigger.
    """
    inside = labels == label
    share = np.clip(np.exp(logs[:, label]), EDGE, 1 - EDGE)
    odds = np.log(share / (1 - share))[:, None] + SHIFTS
    topic = np.log(expit(np.where(inside[:, None], odds, -odds))).sum(0) - SHIFTS**2 / 2
    count, size = int(inside.sum()), len(labels)
    trigger = count * np.log(1 - MISSED) + (size - count) * np.log(MISSED)
    beyond = max(0.0, count / size - float(share.mean()))
    return float((trigger - topic.max()) * beyond / size**0.25)
