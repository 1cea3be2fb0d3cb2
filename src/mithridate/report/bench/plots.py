"""The figures of the overview: trade-off, heat map, ranks and AUROC."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mithridate.report.bench.aggregate import CONTROLS, Row
from mithridate.report.bench.drawing import (
    COLOURS,
    SHAPES,
    Axis,
    Drawing,
    box,
    glyph,
    hatching,
    whisker,
)
from mithridate.report.bench.estimate import Estimate
from mithridate.report.bench.leaderboard import Leaderboard
from mithridate.report.bench.wording import meaning, number, size
from mithridate.report.quoting import shorten


class Key(NamedTuple):
    """How a method is drawn in every figure."""

    method: str
    kind: str
    shape: int


def keys(table: Sequence[Row]) -> dict[str, Key]:
    """Give every method its colour and shape; controls are grey and keep their shapes."""
    by_name: dict[str, Key] = {}
    others = 0
    for row in sorted(table, key=column_order):
        if row.method in by_name:
            continue
        if row.control:
            place = len(by_name)
            by_name[row.method] = Key(row.method, "control", (0, 1, 2, 6)[place % 4])
        else:
            by_name[row.method] = Key(row.method, f"c{others % COLOURS}", others % SHAPES)
            others += 1
    return by_name


def column_order(row: Row) -> tuple[Any, ...]:
    """Sort controls first, in their own order, and what was tuned on the truth last."""
    name = str(row.cell["defence"])
    control = CONTROLS.index(name) if name in CONTROLS else len(CONTROLS)
    return row.oracle, not row.control, control, row.method


def glyph_of(key: Key) -> Drawing:
    """The mark of a method by itself, for a legend."""
    drawing = Drawing("", "", 14, 14)
    drawing.path(f"glyph {key.kind}", glyph(key.shape, 7, 7, 4.5))
    return drawing


def link(row: Row) -> str:
    """The page of the first cell of a row."""
    return f"cells/{(row.done or row.records)[0].key}.html"


REACH = 0.1
"""How much of a whisker the axis of accuracy makes room for: two seeds can give a very long one."""


def trade_off(title: str, table: Sequence[Row], known: Mapping[str, Key]) -> Drawing:
    """Draw ASR against clean accuracy after each defence; larger marks took more seconds."""
    shown = [r for r in table if r.done and {"asr", "accuracy"} <= set(r.metrics)]
    estimates = [r.metrics["accuracy"] for r in shown]
    lows = [max(e.low, e.value - REACH) for e in estimates]
    least = math.floor(10 * min([*lows, 0.9])) / 10
    drawing = Drawing(title, _caption(title, shown), 360, 240)
    across, up = Axis(min(0.9, max(0.0, least)), 1.0, 42, 348), Axis(0, 1, 196, 12)
    for tick in up.ticks():
        drawing.path("grid", f"M42 {up(tick):g}H348")
        drawing.write("end", f"{100 * tick:.0f}", 37, up(tick) + 3.5)
    for tick in across.ticks():
        drawing.path("axis", f"M{across(tick):g} 196v4")
        drawing.write("mid", f"{100 * tick:.0f}", across(tick), 211)
    drawing.path("axis", "M42 196H348")
    drawing.write("mid", "clean accuracy, %", 195, 230)
    drawing.write("mid", "ASR, %", 11, 104, turn=-90)
    for row in sorted(shown, key=lambda r: -(r.cost("seconds") or 0)):
        _point(drawing, row, known[row.method], across, up)
    return drawing


def _point(drawing: Drawing, row: Row, key: Key, across: Axis, up: Axis) -> None:
    asr, accuracy = row.metrics["asr"], row.metrics["accuracy"]
    x, y = across(accuracy.value), up(asr.value)
    bars = ""
    if math.isfinite(accuracy.low + accuracy.high):
        bars += whisker(x, y, across(accuracy.low), across(accuracy.high), upright=False)
    if math.isfinite(asr.low + asr.high):
        bars += whisker(x, y, up(asr.low), up(asr.high), upright=True)
    drawing.path(f"bar {key.kind}", bars)
    seconds = row.cost("seconds")
    r = 3.5 + min(3.5, max(0.0, math.log10((seconds or 0) + 1)))
    says = (
        f"{row.method}: ASR {number(asr.value, 'asr')} %, accuracy "
        f"{number(accuracy.value, 'accuracy')} %, {size(seconds)} s, {row.worded}"
    )
    drawing.path(f"glyph {key.kind}", glyph(key.shape, x, y, r), link=link(row), says=says)
    if "destroyed" in row.results:
        a = r + 3
        drawing.path("ruin", f"M{x - a:g} {y - a:g}l{2 * a:g} {2 * a:g}m0 {-2 * a:g}l{-2 * a:g} "
                     f"{2 * a:g}")  # fmt: skip


def _caption(title: str, shown: Sequence[Row]) -> str:
    told = (
        f"{row.method} {number(row.metrics['asr'].value, 'asr')} and "
        f"{number(row.metrics['accuracy'].value, 'accuracy')}"
        for row in shown
    )
    return f"ASR and clean accuracy in percent, {title}: " + "; ".join(told)


WIDE, TALL, LEFT, TOP = 62, 28, 150, 96
"""Sizes of a heat map's cells, and the room for its labels."""


def heat_map(title: str, table: Sequence[Row]) -> Drawing:
    """Draw the ASR that is left for every attack and defence, the number in every cell.

    What did not take is hatched and says void; a destroyed network is framed and marked.
    """
    attacks = list(dict.fromkeys(row.attacked for row in table))
    methods = list(dict.fromkeys(row.method for row in sorted(table, key=column_order)))
    at = {(row.attacked, row.method): row for row in table}
    drawing = Drawing(title, f"ASR after each defence, {title}; the table holds the same numbers",
                      LEFT + WIDE * len(methods) + 40, TOP + TALL * len(attacks) + 4,
                      fixed=True)  # fmt: skip
    for column, method in enumerate(methods):
        x = LEFT + WIDE * (column + 0.5)
        drawing.write("ink", shorten(method, 20), x, TOP - 7, turn=-38, says=method)
    for line, attack in enumerate(attacks):
        y = TOP + TALL * line
        drawing.write("end ink", shorten(attack, 24), LEFT - 8, y + 18, says=attack)
        for column, method in enumerate(methods):
            _heat(drawing, at.get((attack, method)), LEFT + WIDE * column, y)
    return drawing


def _heat(drawing: Drawing, row: Row | None, x: float, y: float) -> None:
    inside = (x + 1, y + 1, WIDE - 2, TALL - 2)
    middle = (x + WIDE / 2, y + 18)
    if row is None:
        drawing.path("bare", box(*inside), says="not asked for")
        drawing.write("mid", "not run", *middle)
        return
    page, says = link(row), f"{row.attacked}, {row.method}: {row.worded}"
    if not row.done:
        says = f"{says}; {row.why[0]}"
        drawing.path("bare", box(*inside), link=page, says=says)
        drawing.path("hatch", hatching(*inside))
        drawing.write("mid ink lit plate", row.result, *middle, link=page, says=says)
        return
    asr = row.metrics.get("asr")
    value = math.nan if asr is None else asr.value
    ruined = "destroyed" in row.results
    level = 0.0 if ruined or math.isnan(value) else round(0.04 + 0.5 * value, 3)
    drawing.path("heat", box(*inside), link=page, says=says, level=level)
    if ruined:
        a, b, wide, tall = inside
        corners = ((a, b, 1, 1), (a + wide, b, -1, 1), (a, b + tall, 1, -1),
                   (a + wide, b + tall, -1, -1))  # fmt: skip
        drawing.path("ruin", box(*inside) + "".join(
            f"M{left} {top}l{14 * right} {9 * down}" for left, top, right, down in corners
        ))  # fmt: skip
    told = number(value, "asr") + ("†" if ruined else "*" if len(row.done) < len(row.records)
                                   else "")  # fmt: skip
    drawing.write("mid ink lit plate" if ruined else "mid ink lit", told, *middle, link=page,
                  says=says)  # fmt: skip


def ranking(leaderboard: Leaderboard, known: Mapping[str, Key]) -> Drawing | None:
    """Draw mean ranks with their intervals; lines join methods that cannot be told apart."""
    ranks = leaderboard.ranks
    if ranks is None:
        return None
    order, methods = leaderboard.order, len(leaderboard.methods)
    title = f"mean rank by {meaning(leaderboard.measure).heading}, 1 is the best"
    told = "; ".join(f"{leaderboard.methods[i]} {ranks.mean[i]:.2f}" for i in order)
    drawing = Drawing(title, f"{title}: {told}", 360, 62 + 18 * methods)
    across = Axis(1, methods, 148, 330)
    bottom = 36 + 18 * methods
    for tick in across.ticks(6):
        if abs(tick - round(tick)) < 1e-6:
            drawing.path("grid", f"M{across(tick):g} 30V{bottom}")
            drawing.write("mid", f"{tick:.0f}", across(tick), bottom + 14)
    wide = (across.end - across.start) * ranks.critical_difference / (methods - 1)
    if wide <= across.end - across.start:
        drawing.path("strong", f"M{across.start:g} 18h{wide:.1f}m0 -3v6m{-wide:.1f} 0v-6")
        drawing.write("", "critical difference", across.start, 10)
    else:
        drawing.write("", "critical difference: wider than the axis", across.start - 40, 14)
    rank_of = {method: line for line, method in enumerate(order)}
    for line, i in enumerate(order):
        y = 42 + 18 * line
        drawing.write("end ink", shorten(leaderboard.methods[i], 24), 140, y + 3.5,
                      says=leaderboard.methods[i])  # fmt: skip
        x, low, high = (across(float(v[i])) for v in (ranks.mean, ranks.low, ranks.high))
        bounds = f"[{ranks.low[i]:.2f}, {ranks.high[i]:.2f}]"
        says = f"{leaderboard.methods[i]}: {ranks.mean[i]:.2f} {bounds}"
        key = known[leaderboard.methods[i]]
        drawing.path(f"bar {key.kind}", whisker(x, y, low, high, upright=False))
        drawing.path(f"glyph {key.kind}", glyph(key.shape, x, y, 4), says=says)
    joined = [[rank_of[i] for i in group] for group in ranks.groups if len(group) > 1]
    for place, lines in enumerate(joined):
        x = 336 + 5 * (place % 5)
        drawing.path("strong", f"M{x} {38 + 18 * min(lines)}V{46 + 18 * max(lines)}")
    return drawing


def _grid(drawing: Drawing, across: Axis, bottom: float) -> None:
    """Draw the lines and the numbers of an axis of AUROC; the one of chance is marked."""
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        kind = "cut" if tick == 0.5 else "grid"
        drawing.path(kind, f"M{across(tick):g} 4V{bottom}")
        drawing.write("mid", f"{100 * tick:.0f}", across(tick), bottom + 14)
    drawing.write("mid", "AUROC, %", 240, bottom + 27)


def forest(title: str, table: Sequence[Row], known: Mapping[str, Key]) -> Drawing:
    """Draw a detector's AUROC with its interval for every attack; hollow: within classes."""
    drawing = Drawing(title, "AUROC in percent: " + "; ".join(
        f"{row.attacked} {number(row.metrics['auroc'].value, 'auroc')}" for row in table
    ), 360, 40 + 17 * len(table))  # fmt: skip
    across, bottom = Axis(0, 1, 132, 348), 10 + 17 * len(table)
    _grid(drawing, across, bottom)
    for line, row in enumerate(table):
        y, key, page = 14 + 17 * line, known[row.method], link(row)
        drawing.write("end ink", shorten(row.attacked, 22), 124, y + 3.5, says=row.attacked)
        estimate = row.metrics["auroc"]
        x = across(estimate.value)
        if math.isfinite(estimate.low + estimate.high):
            ends = across(estimate.low), across(estimate.high)
            drawing.path(f"bar {key.kind}", whisker(x, y, *ends, upright=False))
        inner = row.metrics.get("auroc_in_class")
        if inner is not None:
            at = across(inner.value)
            drawing.path(f"hollow {key.kind}", glyph(key.shape, at, y, 4), link=page,
                         says=_spell(row, inner, "AUROC in class"))  # fmt: skip
        drawing.path(f"glyph {key.kind}", glyph(key.shape, x, y, 4), link=page,
                     says=_spell(row, estimate, "AUROC"))  # fmt: skip
    return drawing


def _spell(row: Row, estimate: Estimate, name: str) -> str:
    return f"{row.method}, {row.attacked}: {name} {number(estimate.value, 'auroc')} %"
