"""A benchmark as a folder of static pages: an overview, and one page for every cell.

Everything that comes from records passes `visible` and the template's escaping on its way out. The
only script filters rows that are already there; it is named by its hash, and nothing else may run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment

from mithridate.bench.record import AXES, Record
from mithridate.core.errors import DataError
from mithridate.core.files import write_text
from mithridate.core.plain import finite
from mithridate.report.bench import wording
from mithridate.report.bench.aggregate import Outcomes, Row, clean_rows, distinct, rows
from mithridate.report.bench.curves import curves
from mithridate.report.bench.leaderboard import leaderboard, stabilities
from mithridate.report.bench.plots import (
    Key,
    forest,
    glyph_of,
    heat_map,
    keys,
    link,
    ranking,
    trade_off,
)
from mithridate.report.bench.published import Publications
from mithridate.report.pages import environment
from mithridate.report.quoting import shorten
from mithridate.stats.intervals import proportion

KEY = re.compile(r"[0-9A-Za-z_-]{1,100}")
"""What may name a file; the keys of real records are hexadecimal."""

FILTERS = tuple(axis for axis in AXES if axis != "seed")

SHOWN = 12
"""Figures of a kind before the rest is folded away."""


def write_site(
    records: Sequence[Record], folder: Path, title: str, reproduce: Callable[[Record], str],
    outcomes: Outcomes | None = None, published: Path | None = None,
) -> Path:  # fmt: skip
    """Write the pages of a benchmark into a folder; returns the path of its index.html.

    Pages of cells that are no longer among the records stay.

    Args:
        reproduce: gives the command that repeats a cell.
        outcomes: by the key of a record what became of every test input, for intervals over new
            seeds and new inputs.
        published: figures to show beside ours, None for those that are shipped.

    Raises:
        DataError: where there is no record, a key cannot name a file, or a cell has two records.
    """
    kept = distinct(records)
    wrong = [r.key for r in kept if not KEY.fullmatch(r.key)]
    if wrong or not kept:
        raise DataError(
            f"a key must be made of at most 100 letters, digits, - and _, found {wrong[0]!r}"
            if wrong else "there are no records to report; run some cells first"
        )  # fmt: skip
    table, pages = rows(kept, outcomes), _environment()
    cells = folder / "cells"
    cells.mkdir(parents=True, exist_ok=True)
    page = pages.get_template("bench/cell.html")
    for row in table:
        for record in row.records:
            drawn = page.render(
                title=title, record=record, row=row, command=reproduce(record),
                curves=curves(record), settings=_pretty(record.settings), hashes="",
            )  # fmt: skip
            write_text(cells / f"{record.key}.html", drawn)
    write_text(
        folder / "index.html", _index(pages, title, table, clean_rows(kept, outcomes), published)
    )
    return folder / "index.html"


def _index(
    pages: Environment, title: str, table: list[Row], clean: list[Row], published: Path | None
) -> str:
    attacked = [row for row in table if row.rate]
    usual = [row for row in attacked if not row.oracle]
    drawn = [row for row in usual if not row.neighbour]
    known, beside = keys(drawn), Publications(published)
    boards = [leaderboard(attacked, measure) for measure in ("asr", "accuracy_reduction")]
    script = pages.get_template("bench/filter.js").render()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return pages.get_template("bench/index.html").render(
        title=title,
        script=script,
        hashes=f"'sha256-{digest}'",
        statuses=Counter(r.status for row in table for r in row.records),
        every=table,
        choices={axis: _choices(table, axis) for axis in FILTERS},
        results=list(dict.fromkeys(name for row in table for name in row.results)),
        tables=[("main", _group(usual)), ("oracle", _group(r for r in attacked if r.oracle))],
        clean=_by_place(row for row in clean if not row.neighbour),
        boards=[(board, ranking(board, known)) for board in boards],
        figures=_figures(drawn, known),
        legend=[(key, glyph_of(key)) for key in known.values()],
        stabilities=stabilities(table),
        published={row: run for row in usual if (run := beside.beside(row)) is not None},
        publications=beside,
        one=_alone(table),
        origins=_origins(table),
    )  # fmt: skip


def _choices(table: Sequence[Row], axis: str) -> list[Any]:
    values = {str(row.cell[axis]): row.cell[axis] for row in table}
    numeric = all(isinstance(value, (int, float)) for value in values.values())
    return sorted(values.values(), key=(lambda v: v) if numeric else str)


def _alone(table: Sequence[Row]) -> list[tuple[str, Any]]:
    """Axes with one value, which no column needs to repeat."""
    choices = (
        (axis, _choices(table, axis)) for axis in ("task", "network", "precision", "trusted")
    )
    return [(axis, values[0]) for axis, values in choices if len(values) == 1]


def _group(table: Any) -> list[tuple[str, str, list[Row]]]:
    """Rows under one attack at one rate in one place."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in table:
        groups[row.attacked, wording.place(row.where)].append(row)
    return [(*names, members) for names, members in groups.items()]


def _by_place(table: Any) -> list[tuple[str, list[Row]]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in table:
        groups[wording.place(row.where)].append(row)
    return list(groups.items())


def _figures(table: list[Row], known: dict[str, Key]) -> dict[str, list[tuple[Row, Any]]]:
    """The figures of each kind, with a row that says where each belongs."""
    detectors: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in table:
        if "auroc" in row.metrics and row.done:
            detectors[row.method, wording.place(row.where)].append(row)
    single = len({row.where for row in table}) == 1
    named = {place: "" if single else f", {place}" for place in
             (wording.place(row.where) for row in table)}  # fmt: skip
    return {
        "trade-off": [
            (members[0], trade_off(attacked + named[place], members, known))
            for attacked, place, members in _group(table)
            if any(row.done for row in members)
        ],
        "heat map": [(members[0], heat_map(place, members)) for place, members in _by_place(table)],
        "AUROC": [
            (members[0], forest(method + named[place], members, known))
            for (method, place), members in detectors.items()
        ],
    }


def _origins(table: Sequence[Row]) -> list[tuple[str, str]]:
    """What the records were made with: every value of every field, once."""
    origins: dict[str, dict[str, None]] = defaultdict(dict)
    for row in table:
        for record in row.records:
            for name, value in record.origin.items():
                origins[name][str(value)] = None
    return [(name, ", ".join(values)) for name, values in origins.items()]


def _pretty(settings: dict[str, Any]) -> str:
    return json.dumps(finite(settings), indent=2, ensure_ascii=False, default=str)


def _environment() -> Environment:
    pages = environment()
    pages.filters.update(
        short=_short, rate=wording.percent, size=wording.size, number=wording.number,
        bounds=wording.bounds, meaning=wording.meaning, page=link, lines=_lines,
    )  # fmt: skip
    pages.globals.update(
        proportion=proportion, results_mean=wording.RESULTS, SHOWN=SHOWN, FILTERS=FILTERS
    )
    return pages


def _short(value: Any, limit: int = 80) -> str:
    """Any value of a record as a text that is not too long."""
    return shorten(str(value), limit)


def _lines(value: str) -> list[str]:
    """Split what is set in lines, so that only the breaks that we set are breaks."""
    return value.split("\n")
