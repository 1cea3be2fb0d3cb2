"""Triggers that a defender draws: in texts, unknown words and sentences."""

from __future__ import annotations

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.method import Trigger
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger
from mithridate.domains.text.words import WORD, check, pattern_of, pieces

LETTERS = "bcdfghjklmnpqrstvwxz"


def draw(inputs: Inputs, rng: np.random.Generator) -> tuple[Trigger, ...]:
    """Draw a rare word, and a sentence of words that stand in such texts."""
    word = "".join(LETTERS[i] for i in rng.integers(0, len(LETTERS), int(rng.integers(2, 5))))
    check(inputs)
    drawn = (str(inputs[i]) for i in rng.integers(0, len(inputs), 8))
    some = [part for text in drawn for part in _parts(text)] or [word]
    sentence = " ".join(some[i] for i in rng.integers(0, len(some), 7))
    return WordTrigger(word=word), SentenceTrigger(sentence=sentence)


def _parts(text: str) -> list[str]:
    """What stands between spaces, or the pieces of a text without."""
    return text.split() if pattern_of(text) is WORD else pieces(text)
