"""Simple features of texts: words, their neighbours, both ends, marks and patterns of sentences.

Axes: n texts, t tokens of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from mithridate.core.data import Inputs
from mithridate.core.errors import DataError
from mithridate.core.features import Carried, Integers, Selected
from mithridate.domains.text.words import check, pieces

FUNCTION = frozenset((
    "a", "about", "after", "all", "although", "an", "and", "any", "are", "as", "at", "be",
    "because", "been", "before", "but", "by", "can", "could", "did", "do", "does", "for", "from",
    "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into", "is", "it", "its",
    "may", "me", "my", "no", "nor", "not", "of", "off", "on", "once", "or", "our", "out", "over",
    "she", "should", "since", "so", "some", "such", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "this", "those", "though", "to", "under", "until", "up",
    "us", "was", "we", "were", "what", "when", "where", "whether", "which", "while", "who",
    "whom", "whose", "why", "will", "with", "would", "you", "your",
))  # fmt: skip
"""English words that make the frame of a sentence."""

FRAMES = (3, 4, 6)
"""Pieces at the beginning of a frame that make a pattern."""

NEAR = 10
"""Pieces of a frame among which a comma ends the first part of a sentence."""

Hashes = NDArray[np.uint64]
ODD = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9)
"""Numbers that spread bits."""


class _Numbers(dict[str, int]):
    """A number of 64 bits for each piece of text."""

    def __missing__(self, piece: str) -> int:
        code = piece.encode("utf-8", "surrogatepass")
        self[piece] = int.from_bytes(blake2b(code, digest_size=8).digest(), "little")
        return self[piece]


@dataclass(frozen=True, eq=False)
class Family:
    """Features of one kind and who carries them.

    Attributes:
        kind: in words, with {} for the feature itself.
        rows: int64[p], positions of texts.
        keys: uint64[p].
        piece: gives the feature itself, as text, of one of the p.
    """

    kind: str
    rows: Integers
    keys: Hashes
    piece: Callable[[int], str]


def simple_features(inputs: Inputs, selected: Selected) -> Iterator[Carried]:
    """Give families of simple features of texts object[n], the words first."""
    check(inputs)
    for family in families([pieces(text) for text in inputs]):
        yield selected.collect(family.rows, family.keys.view(np.int64))


def name_feature(inputs: Inputs, key: int) -> str:
    """Say which feature has a key, by texts that carry it.

    Raises:
        DataError: where none of them does.
    """
    check(inputs)
    for family in families([pieces(text) for text in inputs]):
        for place in np.flatnonzero(family.keys.view(np.int64) == key)[:1]:
            return family.kind.format(f"`{family.piece(int(place))}`")
    raise DataError(f"none of these {len(inputs)} texts carries the feature {key}")


def families(texts: list[list[str]]) -> Iterator[Family]:
    """Give the families of texts in tokens as they are written."""
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    low = [word.lower() for text in texts for word in text]
    words = _hashes(low)
    yield Family("the word {}", rows, words, low.__getitem__)
    for length in (2, 3):
        starts = np.flatnonzero(rows[: max(0, len(rows) - length + 1)] == rows[length - 1 :])
        keys = _mixed([words[starts + place] for place in range(length)])
        yield Family("the words {}", rows[starts], keys, partial(_run, low, starts, length))
    for kind, listed in KINDS:
        held = [(row, piece) for row, text in enumerate(texts) for piece in listed(text)]
        where = np.array([row for row, _ in held], dtype=np.int64)
        names = [piece for _, piece in held]
        yield Family(kind, where, _hashes([kind + name for name in names]), names.__getitem__)


def _run(words: list[str], starts: Integers, length: int, place: int) -> str:
    """The words from a start on."""
    return " ".join(words[starts[place] : starts[place] + length])


def _hashes(names: list[str]) -> Hashes:
    known = _Numbers()
    return np.fromiter((known[name] for name in names), np.uint64, len(names))


def _mixed(parts: list[Hashes]) -> Hashes:
    """One number for several, in this order."""
    total = np.full_like(parts[0], ODD[0])
    for part in parts:
        total = (total ^ part) * np.uint64(ODD[1])
        total ^= total >> np.uint64(29)
    return total


def _written(text: list[str]) -> Iterator[str]:
    """Words with capitals, as they are written."""
    return (word for word in set(text) if word != word.lower())


def _characters(text: list[str]) -> Iterator[str]:
    """Characters outside the usual set."""
    return (c for c in set("".join(text)) if not c.isascii())


def _beginnings(text: list[str]) -> Iterator[str]:
    """Yield the first word, and the first two."""
    for length in range(1, min(2, len(text)) + 1):
        yield " ".join(text[:length]).lower()


def _endings(text: list[str]) -> Iterator[str]:
    """Yield the last word or mark, and the last two."""
    for length in range(1, min(2, len(text)) + 1):
        yield " ".join(text[-length:]).lower()


def _patterns(text: list[str]) -> Iterator[str]:
    """Yield beginnings of the frame of function words and marks, * for what stands between."""
    frame: list[str] = []
    for word in map(str.lower, text):
        if word in FUNCTION or not (word[0].isalnum() or word[0] == "_"):
            frame.append(word)
        elif frame[-1:] != ["*"]:
            frame.append("*")
    for length in FRAMES:
        if len(frame) >= length:
            yield " ".join(frame[:length]) + " ..."
    if frame and frame[0] != "*":
        yield f"{frame[0]} ... , ..." if "," in frame[:NEAR] else f"{frame[0]} ... {frame[-1]}"


KINDS: tuple[tuple[str, Callable[[list[str]], Iterator[str]]], ...] = (
    ("the word {} in these letters", _written),
    ("the character {}", _characters),
    ("the beginning {}", _beginnings),
    ("the end {}", _endings),
    ("the pattern {}", _patterns),
)
"""The other families, in words, and what gives their features of a text in tokens."""
