"""Who ranks where and how sure that is, and how far results move with the settings.

Axes: m methods, b blocks.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mithridate.bench.record import Record
from mithridate.core.errors import MethodError
from mithridate.core.streams import stream
from mithridate.report.bench.aggregate import Row
from mithridate.stats.ranks import Ranks, rank
from mithridate.stats.stability import Stability, stability

LEAST = 0.5
"""Share of the blocks in which a method must have been measured to be ranked."""


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """Mean ranks by one measure.

    Attributes:
        measure: "asr" or "accuracy_reduction", smaller is better.
        methods: those ranked.
        ranks: of them in the same order, None where there are none, for the reason in `why`.
        left_out: methods that were measured in too few blocks, with the number of blocks.
        blocks: number of all blocks.
    """

    measure: str
    methods: tuple[str, ...]
    ranks: Ranks | None
    why: str
    left_out: tuple[tuple[str, int], ...]
    blocks: int

    @property
    def order(self) -> list[int]:
        """Positions of the methods, the best first."""
        return [] if self.ranks is None else np.argsort(self.ranks.mean, kind="stable").tolist()


def leaderboard(table: Sequence[Row], measure: str) -> Leaderboard:
    """Rank methods over attacked cells by the ASR that is left, or by the accuracy that is lost.

    A block is an attack at one rate with one seed, in one task, network, precision and number of
    trusted examples; blocks of one attack are a cluster. **A destroyed network counts as an ASR of
    1**: it never wins. Left out are settings chosen on the truth, neighbours of the study of
    stability, and methods measured in fewer than half of the blocks in which the attack took.
    """
    scores: dict[str, dict[tuple[Any, ...], float]] = defaultdict(dict)
    for row in table:
        if row.rate and not row.oracle and not row.neighbour:
            for record in row.done:
                block = (*row.where, str(row.cell["attack"]), row.rate, str(record.cell["seed"]))
                scores[row.method][block] = _score(record, measure)
    blocks = sorted({b for name, own in scores.items() if name != "none" for b in own}, key=repr)
    held = {name: sum(b in own for b in blocks) for name, own in scores.items()}
    kept = tuple(name for name, count in held.items() if count and count >= LEAST * len(blocks))
    out = tuple((name, count) for name, count in held.items() if name not in kept)
    grid = [[scores[name].get(block, math.nan) for block in blocks] for name in kept]
    attacks = list(dict.fromkeys((block[0], block[4]) for block in blocks))  # task and attack
    clusters = [attacks.index((block[0], block[4])) for block in blocks]
    try:
        ranks = rank(
            np.reshape(grid, (len(kept), len(blocks))),
            stream(0, "ranks", measure),
            clusters=clusters,
        )
    except MethodError as error:
        return Leaderboard(measure, kept, None, str(error), out, len(blocks))
    return Leaderboard(measure, kept, ranks, "", out, len(blocks))


def _score(record: Record, measure: str) -> float:
    if measure == "asr":
        return 1.0 if record.outcome == "destroyed" else record.value("asr")
    undefended = record.cell.get("defence") == "none"
    return 0.0 if undefended else record.value(measure)


@dataclass(frozen=True, eq=False)
class Moved:
    """How far one measure of a defence moves when its settings do; see `stats.stability`.

    Attributes:
        settings: number of neighbouring settings; worst: the row where it moves most.
    """

    defence: str
    measure: str
    stability: Stability[tuple[Any, ...]]
    settings: int


def stabilities(table: Sequence[Row]) -> list[Moved]:
    """Give MAD-S of every defence with neighbours, of ASR under attack and of clean accuracy."""
    moves = []
    names = dict.fromkeys(str(row.cell["defence"]) for row in table if row.neighbour)
    for name in names:
        own = [row for row in table if str(row.cell["defence"]) == name and not row.control
               and row.cell["tuning"] == "default"]  # fmt: skip
        for measure in ("asr", "accuracy"):
            values = _values(own, measure)
            settings = {setting for _, setting in values} - {""}
            if settings:
                moves.append(Moved(name, measure, stability(values, ""), len(settings)))
    return moves


def _values(own: Sequence[Row], measure: str) -> dict[tuple[tuple[Any, ...], str], float]:
    """A measure by cell and setting, "" for the default, of cells that have both."""
    values: dict[tuple[tuple[Any, ...], str], float] = {}
    for row in own:
        for record in row.done if row.rate or measure != "asr" else ():
            cell = (*row.where, str(row.cell["attack"]), row.rate, str(record.cell["seed"]))
            value = record.value(measure)
            if math.isfinite(value):
                values[cell, row.variant if row.neighbour else ""] = value
    moved = {cell for cell, setting in values if setting}
    return {(cell, setting): value for (cell, setting), value in values.items()
            if cell in moved and (cell, "") in values}  # fmt: skip
