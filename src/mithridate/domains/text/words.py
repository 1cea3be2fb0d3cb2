"""Texts as words, and the numbers that stand for no word.

Axes: n texts.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import DataError

PADDING, MASK, FIRST = 0, 1, 2
"""The number of an empty place, of a word left out by augmentation, and the first of a word."""

WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")
"""A word, or a mark, where a script puts spaces between words and writes vowels as letters."""

SINGLE = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3041-\u3096\u309d-\u309f\u3105-\u312f\u31a0-\u31bf"
    r"\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48f\uf900-\ufaff\U00020000-\U0003fffd"
    r"\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\ua9e0-\ua9ff\uaa60-\uaadf"
)
"""Han, Hiragana, Bopomofo and Yi; then Thai, Lao, Myanmar, Khmer and the Tai scripts."""

KATAKANA = r"\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
"""Its runs are words, and end where another script begins."""

MARKS = "".join(
    chr(code)
    for code in (*range(0x0590, 0x1AB0), *range(0x1B00, 0x1D00), 0x3099, 0x309A)
    if unicodedata.category(chr(code)) in ("Mn", "Mc")
)
"""Vowels and tones that belong to the letter before them, in scripts other than Latin."""

LEADING, TRAILING = "\u0e40-\u0e44\u0ec0-\u0ec4", "\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3"
"""Vowels of Thai and Lao that are letters of their own, written before and behind a consonant."""

LETTER = rf"[^\W{SINGLE}{KATAKANA}][{MARKS}]*"

PIECE = re.compile(
    rf"[{LEADING}]?(?=\w)[{SINGLE}][{MARKS}]*[{TRAILING}]?|[{KATAKANA}][{KATAKANA}{MARKS}]*"
    rf"|(?:{LETTER})+(?:'(?:{LETTER})+)*|[^\w\s]"
)
"""The same as `WORD` for every script."""

DENSE = re.compile(f"[{SINGLE}{KATAKANA}{MARKS}]")
"""A character that `WORD` would not divide as readers do."""


def pattern_of(text: str) -> re.Pattern[str]:
    """Give the pattern of the pieces of a text: `WORD` wherever both say the same."""
    return PIECE if not text.isascii() and DENSE.search(text) else WORD


def pieces(text: str) -> list[str]:
    """Split a text into words and single marks as they are written.

    A mark is any character that is neither a letter, a digit, an underscore nor white space, so an
    emoji or an invisible character is a word of its own.

    Scripts without spaces between words have no words that a rule could find. Each Han character
    and each Hiragana is a piece, so is each Thai, Lao, Khmer or Myanmar letter with its vowels and
    tones, and a run of Katakana. Networks and features that look at neighbours see words as runs of
    pieces. What only Latin, Greek, Cyrillic, Arabic letters or Hangul write is split at spaces.
    """
    return pattern_of(text).findall(text)


def words(text: str) -> list[str]:
    """Split a text into lower-cased words and single marks: "Don't!" is ["don't", "!"].

    Case and white space are not seen; see `pieces`.
    """
    return pieces(text.lower())


def gaps(text: str) -> list[int]:
    """Give the places at which something can be put before a word, ascending.

    They are where something begins behind white space, and before each piece that is written
    without spaces.
    """
    starts = {match.start() for match in re.finditer(r"\S+", text)}
    if pattern_of(text) is PIECE:
        starts |= {m.start() for m in PIECE.finditer(text) if spaceless(m.group())}
    return sorted(starts)


def spaceless(text: str) -> bool:
    """Whether a text begins with a letter of a script that puts no spaces between words."""
    return bool(re.match(rf"(?=\w)[{SINGLE}{KATAKANA}]", text))


def check(inputs: Inputs) -> None:
    """Raise DataError unless the inputs are texts, object[n] of str."""
    if not isinstance(inputs, np.ndarray) or inputs.dtype != object or inputs.ndim != 1:
        raise DataError(
            "texts must be an array object[n] of str, found "
            f"{type(inputs).__name__} {getattr(inputs, 'dtype', '')} "
            f"{list(getattr(inputs, 'shape', []))}; numpy.array(texts, dtype=object) makes one"
        )
    for row, text in enumerate(inputs):
        if not isinstance(text, str):
            raise DataError(
                f"text {row} must be a str, found {type(text).__name__} {str(text)[:40]!r}; "
                "remove the row or give it a text"
            )
