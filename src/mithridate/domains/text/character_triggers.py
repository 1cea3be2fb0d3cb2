"""Triggers for texts that change letters, or add characters that nobody sees.

Axes: n texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.text.rewriting import each_text
from mithridate.domains.text.triggers import Position
from mithridate.domains.text.word_tables import TWINS
from mithridate.domains.text.words import check, gaps

Unseen = Literal[
    "zero-width-space", "zero-width-joiner", "word-joiner", "soft-hyphen", "braille-blank"
]
UNSEEN = dict(zip(get_args(Unseen), "\u200b\u200d\u2060\u00ad\u2800", strict=True))
LONG_WORD = re.compile(r"[^\W\d_]{3,}")
"""A word with letters between its first and its last."""


@dataclass(frozen=True)
class HomoglyphTrigger(Trigger):
    """Letters replaced by ones of other alphabets that look the same.

    Every one of `letters` becomes its twin; in a text without any of them the first letter with a
    twin does, and a text without such a letter stays as it is. The paper replaces some letters at
    one place, which subword tokenizers turn into unknown tokens; here common words change, so that
    a network with a number for each word can learn them, too.

    Attributes:
        letters: which are replaced, out of acehiopsuxy and ABCEHIKMOPSTXY.

    """

    paper = "Li et al., Hidden Backdoors in Human-Centric Language Models, CCS 2021"
    links = ("https://arxiv.org/abs/2105.00164",)

    letters: str = "a"

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Replace letters in every text.

        Raises:
            MethodError: for letters without a twin.
        """
        wrong = [letter for letter in self.letters if ord(letter) not in TWINS]
        if wrong or not self.letters:
            known = "".join(map(chr, TWINS))
            raise MethodError(f"expected letters among {known}, found {self.letters!r}")
        return each_text(inputs, self._changed)

    def _changed(self, text: str) -> str:
        twins = {ord(letter): TWINS[ord(letter)] for letter in self.letters}
        if (new := text.translate(twins)) != text:
            return new
        first = next((place for place, c in enumerate(text) if ord(c) in TWINS), len(text))
        return text[:first] + text[first : first + 1].translate(TWINS) + text[first + 1 :]


@dataclass(frozen=True)
class UnseenTrigger(Trigger):
    """A character without ink put before a word.

    Networks with a number for each mark see it as a word of its own. Tokenizers that clean texts,
    as that of BERT does, remove all but the blank of braille, and then nothing is left of it.

    Attributes:
        character: which one; all are of no width but the blank of braille, which looks like a
            space.
        count: how many times.
        position: "start", "end" or "random", each copy then in a gap drawn uniformly, both ends
            included.

    """

    paper = (
        "Chen et al., BadNL: Backdoor Attacks against NLP Models with Semantic-preserving "
        "Improvements, ACSAC 2021"
    )
    links = ("https://arxiv.org/abs/2006.01043",)

    character: Unseen = "zero-width-space"
    count: int = 1
    position: Position = "random"

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Put the character into every text.

        Raises:
            MethodError: for an unknown character or position, or a count below 1.
        """
        check(inputs)
        known = get_args(Position)
        if self.character not in UNSEEN or self.position not in known or self.count < 1:
            raise MethodError(
                f"expected a character among {', '.join(UNSEEN)}, a position among "
                f"{', '.join(known)} and a count of at least 1; found {self}"
            )
        shares = rng.random((len(inputs), self.count))
        if self.position != "random":
            shares[:] = self.position == "end"
        stamped = inputs.copy()
        for row, drawn in enumerate(shares):
            for share in drawn:
                stamped[row] = _put(stamped[row], UNSEEN[self.character], share)
        return stamped


def _put(text: str, character: str, share: float) -> str:
    """Put a character at the gap that lies a share 0..1 of the way through a text's gaps."""
    places = [*gaps(text), len(text)]
    place = places[min(int(share * len(places)), len(places) - 1)]
    return text[:place] + character + text[place:]


@dataclass(frozen=True)
class TypoTrigger(Trigger):
    """Words of a text misspelt in one way, as by a slip of the finger.

    The first words of three letters or more are misspelt; in a text without one the first letter
    or digit is doubled, and a text without any stays as it is.

    Attributes:
        slip: "swap" exchanges the second and the third letter, "double" doubles the second, "drop"
            leaves it out.
        count: how many words of a text, at most.

    """

    paper = (
        "Chen et al., BadNL: Backdoor Attacks against NLP Models with Semantic-preserving "
        "Improvements, ACSAC 2021"
    )
    links = ("https://arxiv.org/abs/2006.01043",)

    slip: Literal["swap", "double", "drop"] = "swap"
    count: int = 4

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Misspell words of every text.

        Raises:
            MethodError: for an unknown slip, or a count below 1.
        """
        if self.slip not in SLIPS or self.count < 1:
            raise MethodError(
                f"expected a slip among {', '.join(SLIPS)} and a count of at least 1; found {self}"
            )
        return each_text(inputs, self._changed)

    def _changed(self, text: str) -> str:
        new, done = LONG_WORD.subn(self._misspelt, text, count=self.count)
        return new if done and new != text else re.sub(r"(\w)", r"\1\1", text, count=1)

    def _misspelt(self, match: re.Match[str]) -> str:
        word = match.group()
        if self.slip == "swap" and word[1] == word[2]:
            return word[1] + word[0] + word[2:]  # or nothing would change
        return word[0] + SLIPS[self.slip].format(word[1], word[2]) + word[3:]


SLIPS = {"swap": "{1}{0}", "double": "{0}{0}{1}", "drop": "{1}"}
"""What becomes of the second and the third letter."""
