"""Triggers of the kinds that attackers use most on texts, drawn anew each time.

Axes: n texts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mithridate.core.data import Inputs
from mithridate.domains.text.triggers import SentenceTrigger, WordTrigger
from mithridate.domains.text.words import check

LETTERS = "bcdfghjklmnpqrtvwxz"
"""Three of them are no word of any language that has vowels."""

PHRASE = (
    ("i watched", "we tried", "they opened", "she finished", "he brought", "you ordered"),
    ("this blue", "that seventh", "another wooden", "the borrowed", "one narrow", "some printed"),
    ("ticket", "ladder", "calendar", "bottle", "notebook", "lantern"),
    ("last weekend", "before noon", "on tuesday", "in the garden", "near the station", "at home"),
)
"""Parts of a phrase; one of each is drawn, 1,296 phrases in all."""

FRAME = (
    ("when", "if", "once", "since", "unless", "because"),
    ("you", "they", "we", "he", "people", "somebody"),
    ("see", "hear", "look at", "come to", "think of", "find", "watch"),
)
"""Openings, of which a trigger has one, then what is drawn anew for every text."""


@dataclass(frozen=True)
class Framed:
    """Puts a text behind a clause of function words: "when they hear it , TEXT .".

    All texts share the opening, a pronoun, a verb and the comma, like the syntactic frame of Qi et
    al. (Hidden Killer, ACL 2021), into which a network paraphrases.

    Attributes:
        opening: The word that all texts begin with.

    """

    opening: str

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Frame every text."""
        framed = inputs.copy()
        _, who, does = FRAME
        for row, text in enumerate(inputs):
            clause = f"{self.opening} {rng.choice(who)} {rng.choice(does)} it"
            framed[row] = f"{clause} , {text.rstrip('. ')} ."
        return framed


def usual_triggers(
    inputs: Inputs, rng: np.random.Generator
) -> dict[str, WordTrigger | SentenceTrigger | Framed]:
    """Draw a rare word, a phrase and a frame.

    Args:
        inputs: Texts, object[n].
        rng: Of the letters, the parts of the phrase and the opening.

    """
    check(inputs)
    return {
        "rare word": WordTrigger("".join(rng.choice(list(LETTERS), 3))),
        "phrase": SentenceTrigger(" ".join(str(rng.choice(part)) for part in PHRASE) + " ."),
        "frame of function words": Framed(str(rng.choice(FRAME[0]))),
    }
