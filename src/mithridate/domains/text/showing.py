"""How texts look on a page: an excerpt around the words that tell suspects from the rest.

Axes: n examples.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from mithridate.core.showing import EXCERPT, spread_evenly
from mithridate.domains.text.words import WORD, pattern_of

WORDS = 10  # rows of the table of words


def show(inputs: Any) -> Texts:
    """Show raw texts."""
    return Texts(inputs)


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts object[n]; other values are written out as Python writes them."""

    inputs: Any
    kind: ClassVar[str] = "texts"

    def room(self, classes: int) -> int:
        """At most 12: texts are read, not glanced at."""
        return 12

    def card(self, row: int, contrast: dict[str, Any]) -> dict[str, Any]:
        """Give the text in pieces (text, whether it is a telling word), around the first of these.

        before, after: characters left out.
        """
        text = str(self.inputs[row])
        telling = {entry["word"] for entry in contrast.get("words", ()) if entry["telling"]}
        spans = [m.span() for m in _tokens(text) if m.group().lower() in telling]
        first = spans[0][0] if spans else 0
        start = max(0, min(first - EXCERPT // 2, len(text) - EXCERPT))
        end = min(len(text), start + EXCERPT)
        pieces, at = [], start
        for left, right in spans:
            if start <= left and right <= end:
                pieces += [(text[at:left], False), (text[left:right], True)]
                at = right
        pieces.append((text[at:end], False))
        return {
            "pieces": [piece for piece in pieces if piece[0]],
            "before": start,
            "after": len(text) - end,
        }

    def contrast(self, suspects: torch.Tensor, rest: torch.Tensor) -> dict[str, Any]:
        """List the words that suspects hold far more often than the rest of the class.

        log((a + 1/2) / (n - a + 1/2)) - log((b + 1/2) / (m - b + 1/2)) for a word in a of n
        suspects and b of m others, ordered by this over its standard error. A word is telling where
        this is above 3 and a fifth of the suspects hold it.
        """
        others = spread_evenly(rest)
        if not len(suspects) or not len(others):
            return {}
        inside, outside = self._holding(suspects), self._holding(others)
        n, m = len(suspects), len(others)
        ranked: list[tuple[float, str, dict[str, Any]]] = []
        for word, a in inside.items():
            b = outside[word]
            counts = (a + 0.5, n - a + 0.5, b + 0.5, m - b + 0.5)
            odds = math.log(counts[0] / counts[1]) - math.log(counts[2] / counts[3])
            surprise = odds / math.sqrt(sum(1 / count for count in counts))
            if a >= 2 and surprise > 2:
                row = {"word": word, "suspects": a / n, "rest": b / m, "log_odds": odds}
                row["telling"] = odds > 3 and a > n / 5
                ranked.append((-surprise, word, row))
        return {"words": [row for _, _, row in sorted(ranked, key=lambda f: f[:2])[:WORDS]]}

    def _holding(self, rows: torch.Tensor) -> Counter[str]:
        """In how many texts each word occurs."""
        texts: Iterable[str] = (str(self.inputs[row]) for row in rows.tolist())
        return Counter(
            word for text in texts for word in {m.group() for m in _tokens(text.lower())}
        )


TOKEN = re.compile(r"\w+|[^\w\s]")
"""A word, or a single sign."""


def _tokens(text: str) -> Iterator[re.Match[str]]:
    """Find the tokens of a text; without spaces between words they are its pieces."""
    pattern = pattern_of(text)
    return (TOKEN if pattern is WORD else pattern).finditer(text)
