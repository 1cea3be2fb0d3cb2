"""The report of a scan as one HTML file that needs no network and runs no script.

Everything that comes from the data passes `visible` and the template's escaping on its way out.
Axes: n suspect examples, m trusted examples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.files import write_text
from mithridate.core.showing import Shown
from mithridate.domains.registry import show_inputs
from mithridate.pipelines.drawing import CheckedDraw
from mithridate.pipelines.finding import ClassFinding, DataScan
from mithridate.report import pages
from mithridate.report.evidence import Exhibit, exhibits, smallest
from mithridate.report.figures import histograms, spectrum
from mithridate.report.powers import PLANTED, rows
from mithridate.report.quoting import shorten
from mithridate.report.record import NO_IDS, compact, flagged_rows, is_compared, record
from mithridate.report.signs import in_words
from mithridate.report.strong_features import exhibited

FIRST_SIGNS, SIGNS = 5, 12
"""Simple features that are seen at once, and in the whole list; the record holds all."""

PART = 0.1  # of an order, from which on a detector is named beside the leader
ROWS = 12  # classes in the table before the rest is folded away


def write_report(
    scan: DataScan, data: Dataset, trusted: Dataset | None, folder: Path, *, names: Sequence[str],
    own_ids: Mapping[str, Sequence[str]] = NO_IDS, rejected: Sequence[tuple[str, str]] = (),
    checked: CheckedDraw | None = None, origin: str = "", command: str = "", seed: int = 0,
    title: str | None = None, domain: Domain | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Write report.json, flagged.csv and report.html into a folder; returns the record.

    Every file is written whole or not at all.

    Args:
        names: of the n suspect examples.
        own_ids: {column: [n]}, how the data themselves name them, or {}.
        rejected: (name, why) of what could not be read.
        checked: what became of trusted examples that were drawn from the suspects.
        origin: where the data came from.
        command: what repeats the scan.
        domain: the one that the data were read for, None for its usual settings.

    Raises:
        DataError: where there are not n names.
    """
    content = record(
        scan, data, trusted, names=names, own_ids=own_ids, rejected=rejected, checked=checked,
        origin=origin, command=command, seed=seed,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.json", compact(content))
    write_text(folder / "flagged.csv", flagged_rows(scan, data, names, own_ids))
    write_text(folder / "report.html", page(scan, data, trusted, content, title, domain))
    return content


def page(
    scan: DataScan, data: Dataset, trusted: Dataset | None, content: dict[str, Any],
    title: str | None = None, domain: Domain | None = None,
) -> str:  # fmt: skip
    """Draw the page of a scan and its record."""
    trusted = trusted if scan.trusted is None else scan.trusted
    environment = pages.environment()
    environment.filters.update(short=shorten, p=_p, count=_count, percent=_percent)
    ranked = sorted((c for c in scan.classes if c.suspects), key=_worst_first)
    return environment.get_template("scan.html").render(
        title=title or content["data"]["origin"] or "a labelled data set",
        record=content,
        verdict=content["verdict"],
        compared=is_compared(scan),
        classes=[(c, min(c.p_values, key=c.p_values.__getitem__, default=None)) for c in ranked],
        rows=ROWS,
        smallest=smallest,
        facts=_facts(scan, data),
        power=rows(scan.power),
        planted=PLANTED,
        first_signs=FIRST_SIGNS,
        signs=[in_words(sign, data, len(trusted) if trusted else 0) for sign in scan.signs[:SIGNS]],
        evidence=_evidence(scan, data, trusted, content["examples"], exhibits(scan, data), domain),
        listed=sum(bool(c.flagged) for c in scan.classes),
        strongest=exhibited(scan.strongest, data, content["examples"]["names"], domain),
    )


def _facts(scan: DataScan, data: Dataset) -> dict[str, Any]:
    """Count what the page says in words.

    first, more: the class with the smallest p-value, and how many others lie below the level;
    visible, visible_share: the worst class's smallest visible backdoor; blind: classes in which
    none is visible.
    """
    held = [c for c in scan.classes if c.suspects]
    seen = [c.visible for c in held if c.visible is not None]
    first = min(held, key=_worst_first)
    level = max(scan.verdict.level, 1e-9)
    return {
        "held": len(held),
        "visible": max(seen, default=None),
        "visible_share": max(seen) / len(data) if seen else None,
        "blind": sum(c.visible is None for c in held),
        "first": first,
        "more": max(0, sum(smallest(c) <= level for c in held) - 1),
        "list_wants": None if scan.naming is None else scan.naming.needed,
        "once_in": round(1 / level),
        **_needs(scan, first, len(data), len(held)),
    }


def _needs(scan: DataScan, first: ClassFinding, n: int, classes: int) -> dict[str, int]:
    """Count what a list of flagged examples needs.

    list_needed: the fewest examples of the first class's list at the finest p-value, N / (fdr (m +
    1)); asked, needed: 1 % of the data, and how many trusted examples of an average class a list of
    so many needs, N / (fdr k) - 1.
    """
    fdr, asked = max(scan.fdr, 1e-9), max(1, round(0.01 * n))
    return {
        "list_needed": math.ceil(first.suspects / (fdr * (first.trusted + 1))),
        "asked": asked,
        "needed": max(1, math.ceil(n / classes / (fdr * asked) - 1)),
    }


def _worst_first(finding: ClassFinding) -> tuple[float, int]:
    """Order classes by their smallest p-value, then by how many are flagged."""
    return smallest(finding), -finding.flagged


def _leader(shown: Exhibit) -> str:
    """Name the detector that leads the order and those that have a tenth of it or more."""
    name = shown.judged.detector.name()
    others = {other: w for other, w in shown.finding.weights.items() if other != name}
    with_it = [f"{other} ({w:.0%})" for other, w in others.items() if w >= PART]
    return f"{name} with {' and '.join(with_it)}" if with_it else name


def _evidence(
    scan: DataScan, data: Dataset, trusted: Dataset | None, examples: dict[str, Any],
    chosen: tuple[Exhibit, ...], domain: Domain | None,
) -> list[dict[str, Any]]:  # fmt: skip
    show = show_inputs(data.inputs, domain)
    room = show.room(max(1, len(chosen)))
    sections = []
    for exhibit in chosen:
        contrast = show.contrast(exhibit.suspects, exhibit.typical)
        cards = partial(_cards, show, exhibit, contrast, scan, examples)
        sections.append(
            {
                "exhibit": exhibit,
                "kind": show.kind,
                "detector": _leader(exhibit),
                "suspects": cards(exhibit.suspects[:room]),
                "typical": cards(exhibit.typical[: room // 2]),
                "ids": data.ids,
                "contrast": contrast,
                "spectrum": spectrum(scan, data, trusted, exhibit),
                "histograms": histograms(scan, data, trusted, exhibit),
            }
        )
    return sections


def _cards(
    show: Shown,
    exhibit: Exhibit,
    contrast: dict[str, Any],
    scan: DataScan,
    examples: dict[str, Any],
    rows: torch.Tensor,
) -> list[dict[str, Any]]:
    scores = exhibit.scores
    valid = scores.p_values if is_compared(scan) else None
    return [
        {
            "row": row,
            "name": examples["names"][row],
            "own": [(column, ids[row]) for column, ids in examples["own_ids"].items()],
            "score": f"{float(scores.values[row]):.3g}",
            "p_value": None if valid is None else float(valid[row]),
            "content": show.card(row, contrast),
        }
        for row in rows.tolist()
    ]


def _p(value: float | None) -> str:
    """A p-value in two significant digits, a dash where there is none."""
    return "-" if value is None else f"{value:.2g}"


def _count(value: int) -> str:
    """A number with its thousands apart."""
    return f"{value:,}"


def _percent(share: float) -> str:
    """A share in percent with as few digits as it needs."""
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
