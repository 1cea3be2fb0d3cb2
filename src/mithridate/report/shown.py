"""How examples look on a page: the one place of the report that asks what an input is.

Pictures come as PNG at their own size and are magnified by the browser without smoothing; anything
else comes as text. Axes: n examples, k channels, h rows, w columns.
"""

from __future__ import annotations

import base64
import io
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from PIL import Image

from mithridate.core.data import Inputs

SIDE = 112  # pixels of the longer side above which a picture is made smaller
BUDGET = 2_000_000  # characters of all pictures of a page
EXCERPT = 400  # characters shown of a text
WORDS = 10  # rows of the table of words
REST = 2000  # examples of a class that stand for the rest of it


class Shown(Protocol):
    """Examples of one kind of input, ready to be shown."""

    kind: ClassVar[str]

    def room(self, classes: int) -> int:
        """How many examples of each sort a class may show."""

    def card(self, row: int, contrast: dict[str, Any]) -> dict[str, Any]:
        """Show one example."""

    def contrast(self, suspects: torch.Tensor, rest: torch.Tensor) -> dict[str, Any]:
        """Show what suspects (positions int64[k]) have and the rest of the class has not."""


def choose_shown(inputs: Inputs) -> Shown:
    """Choose how to show raw inputs: uint8[n, k, h, w] as pictures, anything else as text."""
    if isinstance(inputs, torch.Tensor) and inputs.dtype == torch.uint8 and inputs.ndim == 4:
        return Pictures(inputs)
    return Texts(inputs)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images uint8[n, k, h, w], grey where k is not 3."""

    inputs: torch.Tensor
    kind: ClassVar[str] = "pictures"

    def room(self, classes: int) -> int:
        """At most 16, fewer where pictures are heavy."""
        weight = len(_png(self.inputs[0])["src"])
        return max(4, min(16, BUDGET // (classes * weight) // 2))

    def card(self, row: int, contrast: dict[str, Any]) -> dict[str, Any]:
        """Give the picture itself."""
        return _png(self.inputs[row])

    def contrast(self, suspects: torch.Tensor, rest: torch.Tensor) -> dict[str, Any]:
        """Average both groups and stretch their difference: mid grey is no difference.

        `argmax` is the largest difference of the averages in grey levels, 0..255.
        """
        if not len(suspects) or not len(rest):
            return {}
        first, second = self._mean(suspects), self._mean(rest)
        difference = first - second
        largest = float(difference.abs().max())
        stretched = 127.5 + difference * (127.5 / max(largest, 1e-9))
        pictures = {"suspects": first, "rest": second, "difference": stretched}
        return {
            "largest": round(largest, 1),
            **{name: _png(image.round().to(torch.uint8)) for name, image in pictures.items()},
        }

    def _mean(self, rows: torch.Tensor) -> torch.Tensor:
        chosen = _spread(rows)
        total = torch.zeros(self.inputs.shape[1:], dtype=torch.float64)
        for part in chosen.split(128):  # large images of a class would not fit in memory as floats
            total += self.inputs[part].double().sum(0)
        return total / len(chosen)


def _spread(rows: torch.Tensor) -> torch.Tensor:
    """Take at most `REST` of the rows, evenly spaced."""
    step = max(1, math.ceil(len(rows) / REST))
    return rows[::step]


def _png(image: torch.Tensor) -> dict[str, Any]:
    """Encode uint8[k, h, w] as the address of a PNG.

    width, height: of the image; reduced: the longer side shown where that is less, else 0.
    """
    levels = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(
        levels if image.shape[0] == 3 else np.ascontiguousarray(levels[..., 0])
    )
    height, width = image.shape[1:]
    reduced = SIDE if max(height, width) > SIDE else 0
    if reduced:
        scale = SIDE / max(height, width)
        picture = picture.resize((max(1, round(width * scale)), max(1, round(height * scale))))
    kept = io.BytesIO()
    picture.save(kept, "PNG", optimize=True)
    address = "data:image/png;base64," + base64.b64encode(kept.getvalue()).decode("ascii")
    return {"src": address, "width": int(width), "height": int(height), "reduced": reduced}


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
        spans = [m.span() for m in re.finditer(TOKEN, text) if m.group().lower() in telling]
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
        others = _spread(rest)
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
        return Counter(word for text in texts for word in set(re.findall(TOKEN, text.lower())))


TOKEN = r"\w+|[^\w\s]"
"""A word, or a single sign."""
