"""How the strongest features are shown: a table of all, and the first ones with their examples."""

from __future__ import annotations

from typing import Any

import torch

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.domains.registry import show_inputs
from mithridate.pipelines.features_found import StrongFeature, StrongFeatures
from mithridate.report.figures import BOTTOM, LEFT, RIGHT, TOP, Figure

SHOWN, ROWS, CARDS = 6, 40, 12
"""Features with pictures, features in the table, and examples of each."""


def exhibited(
    measured: StrongFeatures | None, data: Dataset, names: list[str], domain: Domain | None = None
) -> dict[str, Any]:
    """Give what the page shows, {} where nothing was measured.

    rows: of the table; sections: the first features with examples and figures.
    """
    if measured is None or not measured.features:
        return {}
    show = show_inputs(data.inputs, domain)
    sections = []
    for place, each in enumerate(measured.features[:SHOWN]):
        rest = (data.labels == each.label).nonzero().flatten()
        rest = rest[~torch.isin(rest, each.members)]
        contrast = show.contrast(each.members, rest) if len(each.members) and len(rest) else {}
        sections.append({
            "feature": each, "name": data.classes[each.label], "place": place + 1,
            "kind": show.kind, "ids": data.ids, "contrast": contrast,
            "cards": [_card(show, row, contrast, names) for row in each.members[:CARDS].tolist()],
            "strengths": strengths(measured, each), "counts": by_count(each),
        })  # fmt: skip
    rows = [
        {"name": data.classes[each.label], "feature": each, "told": _interval(each)}
        for each in measured.features[:ROWS]
    ]
    return {
        "rows": rows, "sections": sections, "trainings": measured.trainings,
        "more": max(0, len(measured.features) - ROWS), "all": len(measured.features),
    }  # fmt: skip


def _interval(each: StrongFeature) -> str:
    low, high = each.interval
    return f"{low:.3f} to {high:.3f}"


def _card(show: Any, row: int, contrast: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {
        "row": row, "name": names[row], "own": [], "score": "", "p_value": None,
        "content": show.card(row, contrast),
    }  # fmt: skip


def strengths(measured: StrongFeatures, shown: StrongFeature) -> Figure:
    """Draw what one more member is worth against the size of the set, beside all other features.

    The axis of strengths is linear and ends at the largest interval of the shown feature.
    """
    known = shown.margins.isfinite()
    tops = (shown.slopes + shown.margins)[known]
    lows = (shown.slopes - shown.margins)[known]
    others = torch.stack([each.slopes[each.margins.isfinite()].max() for each in measured.features])
    high = max(float(tops.max()), float(others.median()), 1e-9)
    low = min(0.0, float(lows.min()))
    scale = _Axes(len(measured.sizes), low, high)
    lines = [
        _line(scale, each.slopes, each.margins) for each in measured.features if each is not shown
    ]
    bars = "".join(
        f"M{scale.x(i)} {scale.y(float(shown.slopes[i] - shown.margins[i]))}"
        f"V{scale.y(float(shown.slopes[i] + shown.margins[i]))}"
        for i in range(len(measured.sizes)) if known[i]
    )  # fmt: skip
    return Figure(
        title="strength by size, with 95 % intervals",
        alt=f"What one more member is worth at {len(measured.sizes)} sizes, {shown.slope:.3f} at "
            f"{shown.size} members, beside {len(lines)} other features",
        suspects=_line(scale, shown.slopes, shown.margins) + bars, trusted="",
        others=tuple(lines),
        x_ticks=tuple((scale.x(i), str(k)) for i, k in enumerate(measured.sizes) if i % 2 == 0),
        y_ticks=tuple((scale.y(v), f"{v:.2g}") for v in (low, (low + high) / 2, high)),
        x_label="members of the set", threshold=scale.x(shown.at),
    )  # fmt: skip


def by_count(shown: StrongFeature) -> Figure:
    """Draw the margin of members left out against the number of members that a training saw."""
    counts, answers = shown.counts, shown.held_out
    low, high = float(answers.min()), float(answers.max())
    most = max(1.0, float(counts.max()))
    scale = _Axes(2, low, max(high, low + 1e-9))

    def x(count: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * count / most, 1)

    dots = "".join(
        f"M{x(c)} {scale.y(a)}h.01" for c, a in zip(counts.tolist(), answers.tolist(), strict=True)
    )
    return Figure(
        title="margin of members left out, by members seen",
        alt=f"{len(counts)} trainings that saw {float(counts.min()):.0f} to {most:.0f} members; "
            f"the margin of the others goes from {low:.2f} to {high:.2f}",
        suspects=dots, trusted="", others=(),
        x_ticks=tuple((x(v), f"{v:.0f}") for v in (0, most / 2, most)),
        y_ticks=tuple((scale.y(v), f"{v:.2g}") for v in (low, (low + high) / 2, high)),
        x_label="members that the training saw",
    )  # fmt: skip


class _Axes:
    """Places of equally spaced sizes and of linear strengths in a figure."""

    def __init__(self, count: int, low: float, high: float) -> None:
        self.count, self.low, self.high = count, low, high

    def x(self, place: int) -> float:
        """The place of a size."""
        return round(LEFT + (RIGHT - LEFT) * (place + 0.5) / self.count, 1)

    def y(self, value: float) -> float:
        """The place of a value, cut at the frame."""
        share = (value - self.low) / max(self.high - self.low, 1e-12)
        return round(BOTTOM - (BOTTOM - TOP) * min(1.0, max(0.0, share)), 1)


def _line(scale: _Axes, slopes: torch.Tensor, margins: torch.Tensor) -> str:
    """A path through the sizes at which a feature was measured."""
    known = [i for i in range(len(slopes)) if bool(margins[i].isfinite())]
    points = [f"{scale.x(i)} {scale.y(float(slopes[i]))}" for i in known]
    return "M" + "L".join(points) if points else ""
