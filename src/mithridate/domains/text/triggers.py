"""Triggers for texts: raw texts in, as many raw texts out.

Axes: n texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.text.words import check, gaps, spaceless

Position = Literal["random", "start", "end"]


@dataclass(frozen=True)
class WordTrigger(Trigger):
    """A rare word put between the words of the text.

    Attributes:
        word: inserted as it is.
        count: how many times.
        position: "start", "end" or "random", each copy then in a gap drawn uniformly, both ends
            included.
    """

    paper = "Kurita, Michel and Neubig, Weight Poisoning Attacks on Pre-trained Models, ACL 2020"
    links = ("https://arxiv.org/abs/2004.06660",)

    word: str = "cf"
    count: int = 1
    position: Position = "random"

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Insert the word into every text.

        Raises:
            MethodError: for an empty word, an unknown position or a count below 1.
        """
        return insert(inputs, self.word, self.count, self.position, rng)


@dataclass(frozen=True)
class SentenceTrigger(Trigger):
    """A whole sentence put between the words of the text.

    Attributes:
        sentence: inserted as it is.
        position: "start", "end" or "random", then in a gap drawn uniformly, both ends included.
    """

    paper = (
        "Dai, Chen and Li, A Backdoor Attack Against LSTM-Based Text Classification Systems, "
        "IEEE Access 2019"
    )
    links = ("https://arxiv.org/abs/1905.12457",)
    known_as = ("addsent-trigger",)

    sentence: str = "I watched this 3D movie last weekend ."
    position: Position = "random"

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Insert the sentence into every text.

        Raises:
            MethodError: for an empty sentence or an unknown position.
        """
        return insert(inputs, self.sentence, 1, self.position, rng)


def insert(
    inputs: Inputs, phrase: str, count: int, position: Position, rng: np.random.Generator
) -> Inputs:
    """Put `count` copies of a phrase into each text object[n]; the rest of the text stays as is."""
    check(inputs)
    if not phrase.strip():
        raise MethodError(f"the trigger must contain a character to see, found {phrase!r}")
    if count < 1:
        raise MethodError(f"the trigger must be inserted at least once, found count={count}")
    if position not in get_args(Position):
        raise MethodError(f"unknown position {position!r}; known: {', '.join(get_args(Position))}")
    shares = rng.random((len(inputs), count))
    if position != "random":
        shares[:] = position == "end"  # 0 is the start and 1 the end
    stamped = inputs.copy()
    for row, drawn in enumerate(shares):
        for share in drawn:
            stamped[row] = insert_once(stamped[row], phrase, share)
    return stamped


def insert_once(text: str, phrase: str, share: float) -> str:
    """Put the phrase into the gap that lies a share 0..1 of the way through a text's gaps."""
    starts = gaps(text)
    gap = min(int(share * (len(starts) + 1)), len(starts))
    start = starts[gap] if gap < len(starts) else len(text)
    return _glued(_glued(text[:start], phrase), text[start:])


def _glued(first: str, second: str) -> str:
    """Put one after the other, with a space where words would else become one."""
    bare = not first or not second or first[-1].isspace()
    return f"{first}{'' if bare or spaceless(first[-1]) or spaceless(second) else ' '}{second}"
