"""What kind of texts these are, apart from what they say: how they were written and cleaned.

Axes: n texts.
"""

from __future__ import annotations

from collections import Counter

import torch

from mithridate.core.data import Inputs
from mithridate.domains.text.words import check, words


def properties(texts: Inputs) -> dict[str, torch.Tensor]:
    """Measure texts object[n], float64[n] for each property.

    length: words and marks; word length: letters of a word; capitals, digits, marks, other
    alphabets: shares of the characters; rare words: the share of words that no other of the texts
    holds.
    """
    check(texts)
    split = [words(text) for text in texts]
    held = Counter(word for each in split for word in set(each))
    rows = [_measured(text, each, held) for text, each in zip(texts, split, strict=True)]
    names = _measured("", [], held)
    return {name: torch.tensor([row[name] for row in rows]).double() for name in names}


def _measured(text: str, split: list[str], held: Counter[str]) -> dict[str, float]:
    many, real = max(1, len(text)), [word for word in split if word[0].isalnum()]
    return {
        "length": float(len(split)),
        "word length": sum(map(len, real)) / max(1, len(real)),
        "capitals": sum(map(str.isupper, text)) / many,
        "digits": sum(map(str.isdigit, text)) / many,
        "marks": sum(not (each.isalnum() or each.isspace()) for each in text) / many,
        "other alphabets": sum(not each.isascii() for each in text) / many,
        "rare words": sum(held[word] == 1 for word in split) / max(1, len(split)),
    }
