"""Figures as plain numbers in the coordinates of a small SVG, drawn by the page's template.

Drawn by hand rather than by a plotting library: a few hundred bytes each, colours that follow the
reader's light or dark page, and the same bytes for the same scan.
Axes: n examples of a class, d features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Dataset
from mithridate.core.scores import Scores
from mithridate.pipelines.finding import DataScan
from mithridate.report.evidence import COMPONENTS, ENOUGH, Exhibit, Floats, extents
from mithridate.report.record import is_compared

LEFT, RIGHT, TOP, BOTTOM = 36, 350, 12, 160
"""The frame in which data are drawn; templates/figure.html draws axes and labels around it."""
BINS = 44
OTHERS = 12  # classes drawn for comparison


@dataclass(frozen=True)
class Figure:
    """One figure, ready to be drawn.

    Attributes:
        suspects: SVG paths, empty where there is nothing.
        trusted: SVG paths, empty where there is nothing.
        others: further paths.
        threshold: where flagging begins along x, None without.
        alt: the figure in words.
    """

    title: str
    alt: str
    suspects: str
    trusted: str
    others: tuple[str, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    x_label: str
    threshold: float | None = None


def histograms(
    scan: DataScan, data: Dataset, trusted: Dataset | None, shown: Exhibit
) -> list[Figure]:
    """Draw a class in the order of its list, where that is a combination, and by each detector."""
    compared = is_compared(scan) and trusted is not None
    whole = [name for name, weight in shown.finding.weights.items() if weight == 1.0]
    drawn = []
    if compared and scan.naming is not None and shown.finding.weights and not whole:
        order = scan.naming
        drawn.append(_Drawn("the order of the list", None, order.scores, order.trusted, True))
    for judged in scan.judged:
        name = judged.detector.name()
        p = shown.finding.p_values.get(name) if is_compared(scan) else None
        drawn.append(_Drawn(name, p, judged.scores, judged.trusted, name in whole))
    own = trusted.labels == shown.label if compared and trusted is not None else None
    flagged = scan.flagged[data.labels == shown.label].numpy()
    return [_histogram(each, shown, data.labels == shown.label, own, flagged) for each in drawn]


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Scores to draw, and whether examples are named by them."""

    name: str
    p_value: float | None
    scores: Scores
    trusted: torch.Tensor
    names: bool


def _histogram(
    drawn: _Drawn, shown: Exhibit, inside: torch.Tensor, own: torch.Tensor | None,
    flagged: NDArray[np.bool_],
) -> Figure:  # fmt: skip
    """Draw the scores of a class: suspect examples against the trusted ones.

    Heights are shares of each group on a square-root scale, so that a few examples stay visible.
    The axis is linear, or logarithmic beyond the usual spread where scores reach far.
    """
    name, p = drawn.name, drawn.p_value
    scores = drawn.scores.values[inside].numpy()
    null = np.zeros(0) if own is None else drawn.trusted[own].numpy()
    scale = _Scale.of(np.concatenate([scores, null]))
    edges = np.linspace(scale.low, scale.high, BINS + 1)
    shares = [
        np.histogram(scale(values), edges)[0] / max(1, len(values)) for values in (scores, null)
    ]
    tallest = max(float(share.max()) for share in shares)
    cut = float(scores[flagged].min()) if drawn.names and flagged.any() else None
    above = "" if cut is None else f"; flagging begins at {_short(cut)}"
    return Figure(
        title=name if p is None else f"{name}, adjusted p {p:.2g}",
        alt=(
            f"Scores by {name} in class {shown.finding.name}: {len(scores)} examples from "
            f"{_short(scores.min())} to {_short(scores.max())}"
            + (f", {len(null)} trusted ones up to {_short(null.max())}" if len(null) else "")
            + above
        ),
        suspects=_outline(shares[0], tallest),
        trusted=_outline(shares[1], tallest) if len(null) else "",
        others=(),
        x_ticks=tuple((scale.place(value), _short(value)) for value in scale.ticks()),
        y_ticks=tuple((_height(t, tallest), f"{t:.0%}") for t in _shares(tallest)),
        x_label="score, larger is more suspicious",
        threshold=None if cut is None else scale.place(cut),
    )  # fmt: skip


@dataclass(frozen=True)
class _Scale:
    """The horizontal axis: u = asinh((s - middle) / spread), or s itself where scores lie close."""

    middle: float
    spread: float
    bent: bool
    low: float
    high: float

    @staticmethod
    def of(values: Floats) -> _Scale:
        middle, upper = np.quantile(values, [0.5, 0.9])
        least, most = float(values.min()), float(values.max())
        spread = float(upper - middle) or (most - least) or 1.0
        bent = most - middle > 8 * spread
        scale = _Scale(float(middle), spread, bent, 0.0, 1.0)
        low, high = float(scale(np.array(least))), float(scale(np.array(most)))
        return _Scale(float(middle), spread, bent, low, high if high > low else low + 1.0)

    def __call__(self, values: Floats) -> Floats:
        return np.asarray(np.arcsinh((values - self.middle) / self.spread) if self.bent else values)

    def place(self, value: float) -> float:
        share = (float(self(np.array(value))) - self.low) / (self.high - self.low)
        return round(LEFT + share * (RIGHT - LEFT), 1)

    def ticks(self) -> list[float]:
        """Round numbers that are far enough from each other to be read."""
        low, high = (float(np.sinh(u) * self.spread + self.middle) if self.bent else u
                     for u in (self.low, self.high))  # fmt: skip
        if self.bent:
            powers = [10.0**e for e in range(math.floor(math.log10(self.spread)) - 1, 16)]
            wanted = [0.0, *powers, *(-p for p in powers)]
        else:
            step = _step(high - low)
            wanted = [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]
        kept: list[float] = []
        for value in sorted(v for v in wanted if low <= v <= high):
            if not kept or self.place(value) - self.place(kept[-1]) > 48:
                kept.append(value)
        return kept


def _step(length: float) -> float:
    """A round distance between ticks that gives three to six of them."""
    power = 10.0 ** math.floor(math.log10(length / 3))
    return max(step for step in (power, 2 * power, 5 * power) if step <= length / 3 * 1.0000001)


def _shares(tallest: float) -> list[float]:
    """The shares marked on the vertical axis."""
    return [t for t in (0.01, 0.1, 0.25, 0.5, 1.0) if t <= tallest][-3:]


def _height(share: float, tallest: float) -> float:
    return round(BOTTOM - math.sqrt(share / max(tallest, 1e-9)) * (BOTTOM - TOP), 1)


def _outline(shares: Floats, tallest: float) -> str:
    """The outline of a histogram as a closed path that leaves empty bins out."""
    wide = (RIGHT - LEFT) / len(shares)
    path, down = [], True
    for number, share in enumerate([*shares.tolist(), 0.0]):
        x = round(LEFT + number * wide, 1)
        if share == 0:
            path += [] if down else [f"V{BOTTOM}Z"]
        else:
            path += [f"M{x} {BOTTOM}"] if down else []
            path += [f"V{_height(share, tallest)}H{round(x + wide, 1)}"]
        down = share == 0
    return "".join(path)


def spectrum(scan: DataScan, data: Dataset, trusted: Dataset | None, shown: Exhibit) -> Figure:
    """Draw how far a class extends along its main directions, against other classes.

    s_i / sqrt(n - 1) with s_i the singular values of the centred features float[n, d] of a class.
    """
    features, n = scan.features, len(data)
    own = extents(features[:n][data.labels == shown.label])
    known = np.zeros(0)
    if trusted is not None and len(trusted):
        known = extents(features[n:][trusted.labels == shown.label])
    sizes = sorted(
        (label for label, finding in enumerate(scan.classes)
         if finding.suspects >= ENOUGH and label != shown.label and not finding.flagged),
        key=lambda label: -scan.classes[label].suspects,
    )  # fmt: skip
    others = [extents(features[:n][data.labels == label]) for label in sizes[:OTHERS]]
    every = [line for line in (own, known, *others) if len(line)]
    top = max((float(line[0]) for line in every), default=1.0) or 1.0
    step = _step(top)
    firsts = [float(line[0]) for line in others if len(line)]
    return Figure(
        title="spectrum of the features",
        alt=(
            f"Standard deviation of the features of class {shown.finding.name} along its main "
            f"direction: {_short(own[0]) if len(own) else 'unknown'}"
            + (f"; its trusted examples {_short(known[0])}" if len(known) else "")
            + (f"; other classes {_short(min(firsts))} to {_short(max(firsts))}" if firsts else "")
        ),
        suspects=_line(own, top),
        trusted=_line(known, top),
        others=tuple(_line(line, top) for line in others),
        x_ticks=tuple((_across(k), str(k + 1)) for k in range(0, COMPONENTS, 5)),
        y_ticks=tuple((_up(step * k, top), _short(step * k)) for k in range(int(top / step) + 1)),
        x_label="direction, by extent",
    )


def _across(component: int) -> float:
    return round(LEFT + 6 + component * (RIGHT - LEFT - 12) / (COMPONENTS - 1), 1)


def _up(extent: float, top: float) -> float:
    return round(BOTTOM - extent / top * (BOTTOM - TOP), 1)


def _line(extents: Floats, top: float) -> str:
    points = (f"{_across(k)} {_up(float(e), top)}" for k, e in enumerate(extents))
    return "M" + "L".join(points) if len(extents) else ""


def _short(value: float) -> str:
    """A number in at most three significant digits."""
    return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-")
