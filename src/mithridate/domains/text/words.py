"""Texts as words, and the numbers that stand for no word.

Axes: n texts.
"""

from __future__ import annotations

import re

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import DataError

PADDING, MASK, FIRST = 0, 1, 2
"""The number of an empty place, of a word left out by augmentation, and the first of a word."""

WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")


def words(text: str) -> list[str]:
    """Split a text into lower-cased words and single marks: "Don't!" is ["don't", "!"].

    A mark is any character that is neither a letter, a digit, an underscore nor white space, so an
    emoji or an invisible character is a word of its own. Case and white space are not seen.
    """
    return WORD.findall(text.lower())


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
