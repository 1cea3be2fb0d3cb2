"""Drawings made of paths and words, drawn by a template as SVG in the reader's colours."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SHAPES = 7
COLOURS = 6
"""Co-prime, so that 42 methods differ; shape alone or colour alone tells most of them apart."""


@dataclass(frozen=True)
class Mark:
    """One path, or words where `text` is given at (x, y).

    Attributes:
        kind: class of the style sheet.
        path: in the coordinates of the drawing.
        turn: degrees by which words are turned.
        level: opacity of the fill, None for that of the style sheet.
        link: page that it leads to.
        says: shown when pointed at.
    """

    kind: str
    path: str = ""
    text: str = ""
    x: float = 0.0
    y: float = 0.0
    turn: float = 0.0
    level: float | None = None
    link: str = ""
    says: str = ""


@dataclass
class Drawing:
    """A drawing of some width and height; alt: the same in words.

    Attributes:
        fixed: drawn at its own size and scrolled where it does not fit, rather than made smaller.
    """

    title: str
    alt: str
    width: float
    height: float
    fixed: bool = False
    marks: list[Mark] = field(default_factory=list)

    def path(self, kind: str, path: str, *, link: str = "", says: str = "",
             level: float | None = None) -> None:  # fmt: skip
        """Add a path."""
        self.marks.append(Mark(kind, path, link=link, says=says, level=level))

    def write(self, kind: str, text: str, x: float, y: float, *, turn: float = 0.0,
              link: str = "", says: str = "") -> None:  # fmt: skip
        """Add words."""
        self.marks.append(Mark(kind, "", text, round(x, 1), round(y, 1), turn, None, link, says))


@dataclass(frozen=True)
class Axis:
    """A linear axis from `low` to `high`, drawn between two coordinates."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Where a value is drawn; what lies outside is drawn at the end."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)

    def ticks(self, most: int = 5) -> list[float]:
        """Round numbers on the axis, at most so many steps apart."""
        length = (self.high - self.low) or 1.0
        power = 10.0 ** math.floor(math.log10(length / most))
        step = next(s * power for s in (1, 2, 5, 10) if s * power >= length / most * 0.999)
        first = math.ceil(self.low / step - 1e-6)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-6) + 1)]


def glyph(shape: int, x: float, y: float, r: float) -> str:
    """One of seven outlines around a point: they differ without any colour."""
    outlines: dict[int, list[tuple[float, float]]] = {
        1: [(-1, -1), (1, -1), (1, 1), (-1, 1)],
        2: [(0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)],
        3: [(0, -1.3), (1.25, 0.95), (-1.25, 0.95)],
        4: [(0, 1.3), (1.25, -0.95), (-1.25, -0.95)],
        5: [(-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4),
            (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4)],
        6: [(-1.2, -1), (1.2, 1), (1.2, -1), (-1.2, 1)],
    }  # fmt: skip
    corners = outlines.get(shape % SHAPES)
    if corners is None:
        half = f"a{r:.1f} {r:.1f} 0 1 0"
        return f"M{x - r:.1f} {y:.1f}{half} {2 * r:.1f} 0{half} {-2 * r:.1f} 0Z"
    return "M" + "L".join(f"{x + a * r:.1f} {y + b * r:.1f}" for a, b in corners) + "Z"


def box(x: float, y: float, width: float, height: float) -> str:
    """A rectangle as a path."""
    return f"M{x:g} {y:g}h{width:g}v{height:g}h{-width:g}Z"


def whisker(x: float, y: float, low: float, high: float, *, upright: bool) -> str:
    """A line from low to high through a point, with a short stroke at both ends."""
    if upright:
        return f"M{x:g} {low:g}V{high:g}M{x - 2:g} {low:g}h4M{x - 2:g} {high:g}h4"
    return f"M{low:g} {y:g}H{high:g}M{low:g} {y - 2:g}v4M{high:g} {y - 2:g}v4"


def hatching(x: float, y: float, width: float, height: float, apart: float = 6.0) -> str:
    """Diagonal lines that fill a rectangle."""
    lines = []
    shift = -height + apart / 2
    while shift < width:
        start, end = max(0.0, shift), min(width, shift + height)
        lines.append(
            f"M{x + start:.1f} {y + height - (start - shift):.1f}"
            f"L{x + end:.1f} {y + height - (end - shift):.1f}"
        )
        shift += apart
    return "".join(lines)
