"""The figures of one cell: accuracy by class, ROC curve, and losses of training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mithridate.bench.record import Record
from mithridate.report.bench.drawing import Axis, Drawing, box

LEFT, RIGHT, TOP, BOTTOM = 40, 350, 12, 160


def curves(record: Record) -> list[Drawing]:
    """Draw whatever the record holds; a missing number leaves a gap."""
    drawings = []
    accuracies = record.per_class.get("accuracy") or []
    if accuracies:
        drawings.append(by_class(accuracies))
    points = [p for p in record.curves.get("roc") or [] if _numbers(p) and len(p) == 2]
    if len(points) > 1:
        drawings.append(roc(points))
    losses = record.curves.get("loss") or []
    if _numbers([v for v in losses if v is not None]) and len(losses) > 1:
        drawings.append(loss([math.nan if v is None else float(v) for v in losses]))
    return drawings


def _numbers(values: Any) -> bool:
    return isinstance(values, (list, tuple)) and len(values) > 0 and all(
        isinstance(v, (int, float)) and math.isfinite(v) for v in values
    )  # fmt: skip


def by_class(accuracies: Sequence[float | None]) -> Drawing:
    """Draw clean accuracy by class as bars; a class without test inputs has none."""
    known = [(i, float(a)) for i, a in enumerate(accuracies) if _numbers([a]) and a is not None]
    least = min(known, key=lambda k: k[1], default=None)
    alt = "Clean accuracy by class" + (
        f"; the least is {100 * least[1]:.1f} % in class {least[0]}" if least else ": not known"
    )
    drawing = Drawing("clean accuracy by class", alt, 360, 190)
    up = Axis(0, 1, BOTTOM, TOP)
    _frame(drawing, up, "class", 100)
    wide = (RIGHT - LEFT) / len(accuracies)
    gap = min(2.0, wide / 5)
    for i, value in known:
        top = up(value)
        drawing.path("suspects area", box(round(LEFT + i * wide + gap / 2, 2), top,
                     round(wide - gap, 2), round(BOTTOM - top, 1)),
                     says=f"class {i}: {100 * value:.1f} %")  # fmt: skip
    every = max(1, math.ceil(len(accuracies) / 12))
    for i in range(0, len(accuracies), every):
        drawing.write("mid", str(i), LEFT + (i + 0.5) * wide, 173)
    return drawing


def roc(points: Sequence[Sequence[float]]) -> Drawing:
    """Draw true-positive against false-positive rate, both in percent."""
    drawing = Drawing("ROC curve of the detector", "True-positive rate by false-positive rate: " +
                      "; ".join(f"{100 * y:.0f} at {100 * x:.1f} %" for x, y in points[::12]),
                      360, 190)  # fmt: skip
    across, up = Axis(0, 1, LEFT, RIGHT), Axis(0, 1, BOTTOM, TOP)
    _frame(drawing, up, "false-positive rate, %", 100)
    for tick in across.ticks():
        drawing.write("mid", f"{100 * tick:.0f}", across(tick), 173)
    drawing.path("cut", f"M{LEFT} {BOTTOM}L{RIGHT} {TOP}")
    drawing.path("suspects line", _line([(across(x), up(y)) for x, y in points]))
    return drawing


def loss(losses: Sequence[float]) -> Drawing:
    """Draw the training loss by epoch."""
    finite = [v for v in losses if math.isfinite(v)]
    drawing = Drawing("loss of the last training", f"Mean training loss over {len(losses)} epochs, "
                      f"from {losses[0]:.3g} to {losses[-1]:.3g}", 360, 190)  # fmt: skip
    up = Axis(min(0.0, *finite), max(finite) or 1.0, BOTTOM, TOP)
    across = Axis(1, len(losses), LEFT + 4, RIGHT - 4)
    _frame(drawing, up, "epoch", 1)
    for tick in across.ticks(6):
        if tick >= 1 and abs(tick - round(tick)) < 1e-6:
            drawing.write("mid", f"{tick:.0f}", across(tick), 173)
    pieces: list[list[tuple[float, float]]] = [[]]
    for epoch, value in enumerate(losses, 1):
        if math.isfinite(value):
            pieces[-1].append((across(epoch), up(value)))
        elif pieces[-1]:
            pieces.append([])
    drawing.path("suspects line", "".join(_line(piece) for piece in pieces))
    return drawing


def _frame(drawing: Drawing, up: Axis, label: str, times: float) -> None:
    for tick in up.ticks(4):
        drawing.path("grid", f"M{LEFT} {up(tick):g}H{RIGHT}")
        drawing.write("end", f"{times * tick:.3g}", LEFT - 4, up(tick) + 3.5)
    drawing.path("axis", f"M{LEFT} {BOTTOM}H{RIGHT}")
    drawing.write("mid", label, (LEFT + RIGHT) / 2, 187)


def _line(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""
