"""Texts in parts: their words and marks, as they are written.

Axes: n texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.parts import Parted
from mithridate.domains.text.words import check, pattern_of, spaceless


def parts(texts: Inputs) -> list[Parted]:
    """Divide texts object[n] before each word or mark; a piece holds the white space behind it."""
    check(texts)
    return [_parted(text) for text in texts]


def _parted(text: str) -> Parted:
    found_at = list(pattern_of(text).finditer(text))
    starts = [0, *(match.start() for match in found_at[1:]), len(text)]
    pieces = tuple(text[a:b] for a, b in pairwise(starts) if found_at)
    return Parted(pieces, tuple(match.group().lower() for match in found_at))


def whole(pieces: Sequence[Sequence[str]]) -> Inputs:
    """Put pieces together, with a space where two words would become one, object[n]."""
    texts = np.empty(len(pieces), dtype=object)
    for row, some in enumerate(pieces):
        texts[row] = "".join(
            piece + " " * _clash(piece, after)
            for piece, after in zip(some, (*some[1:], ""), strict=False)
        )
    return texts


def _clash(piece: str, after: str) -> bool:
    """Whether two pieces would make one word."""
    if not (piece and after and _in_word(piece[-1]) and _in_word(after[0])):
        return False
    return not (spaceless(piece[-1]) or spaceless(after))


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"
