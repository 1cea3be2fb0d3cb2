"""Triggers that a defender draws: in texts, unknown words and sentences."""

from __future__ import annotations

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.method import Trigger
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger
from mithridate.domains.text.words import check

LETTERS = "bcdfghjklmnpqrstvwxz"


def draw(inputs: Inputs, rng: np.random.Generator) -> tuple[Trigger, ...]:
    """Draw a rare word, and a sentence of words that stand in such texts."""
    word = "".join(LETTERS[i] for i in rng.integers(0, len(LETTERS), int(rng.integers(2, 5))))
    check(inputs)
    some = " ".join(str(inputs[i]) for i in rng.integers(0, len(inputs), 8)).split() or [word]
    sentence = " ".join(some[i] for i in rng.integers(0, len(some), 7))
    return WordTrigger(word=word), SentenceTrigger(sentence=sentence)
