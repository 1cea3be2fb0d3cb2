"""The record of a scan: everything that it found and what it took to find it, as strict JSON.

Axes: n suspect examples, m trusted examples.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import torch

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.core.fingerprint import fingerprint
from mithridate.core.plain import plain
from mithridate.core.runtime import environment
from mithridate.core.scores import Scores
from mithridate.pipelines.drawing import CheckedDraw
from mithridate.pipelines.finding import ClassFinding, DataScan, Judged
from mithridate.pipelines.naming import DOUBT
from mithridate.report import powers
from mithridate.report.overlapping import apart, checked_first, describe_checked, drawn, figures
from mithridate.report.quoting import cell, spell_surrogates
from mithridate.report.signs import signs_of
from mithridate.report.strong_values import figures_of

SCHEMA = "mithridate-scan/1"

ABSENCE = (
    "Without trusted examples no error rate can be stated: any data set is the clean data of some "
    "world. There is no verdict, no example is named, and scores only put the examples of a class "
    "in an order. Trusted examples of the same classes and from the same source end this."
)
OWN = ("own_id",)
NO_IDS: Mapping[str, Sequence[str]] = {}

DIGITS = 6
"""Significant digits of scores and p-values: rankings survive, files stay small."""


def record(
    scan: DataScan, data: Dataset, trusted: Dataset | None, *, names: Sequence[str],
    own_ids: Mapping[str, Sequence[str]] = NO_IDS, rejected: Sequence[tuple[str, str]] = (),
    checked: CheckedDraw | None = None, origin: str = "", command: str = "", seed: int = 0,
) -> dict[str, Any]:  # fmt: skip
    """Give all of a scan as plain values that strict JSON can hold.

    A number that is not finite becomes None. p-values are None where suspect and trusted examples
    could not be compared.

    Args:
        names: of the n suspect examples.
        own_ids: by the name of their column, how the data themselves name the n examples.
        rejected: (name, why) of what could not be read.
        checked: what became of trusted examples that were drawn from the suspects.
        origin: where the data came from.

    Raises:
        DataError: where there are not n names.
    """
    if len(names) != len(data):
        raise DataError(f"expected a name for each of {len(data)} examples, found {len(names)}")
    return {
        "schema": SCHEMA,
        "verdict": _verdict(scan),
        "without_trusted": None if trusted is not None and len(trusted) else ABSENCE,
        "classes": [_class(each) for each in scan.classes],
        "checked_first": [
            *([] if checked is None else [spell_surrogates(describe_checked(checked))]),
            *(spell_surrogates(each) for each in checked_first(scan, names)),
        ],
        "drawn": drawn(checked),
        "overlap": figures(scan.overlap),
        "differ": apart(scan.differ),
        "signs": signs_of(scan, data),
        "power": powers.figures(scan.power),
        "strongest": figures_of(scan.strongest, data),
        "detectors": [_detector(judged, scan) for judged in scan.judged],
        "data": {
            "origin": spell_surrogates(origin),
            "examples": len(data),
            "trusted": len(trusted) if trusted is not None else 0,
            "sha256": fingerprint(data),
            "trusted_sha256": fingerprint(trusted) if trusted is not None else None,
        },
        "rejected": [
            {"name": spell_surrogates(name), "why": spell_surrogates(why)} for name, why in rejected
        ],
        "cost": {name: _number(value) for name, value in scan.cost.items()},
        "command": spell_surrogates(command),
        "seed": seed,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": environment(),
        "examples": _examples(scan, data, names, own_ids),
    }  # fmt: skip


def _class(c: ClassFinding) -> dict[str, Any]:
    return {
        "name": spell_surrogates(c.name), "suspects": c.suspects, "trusted": c.trusted,
        "flagged": c.flagged, "by": c.by, "visible": c.visible,
        "p_values": {name: _number(p) for name, p in c.p_values.items()},
        "weights": {name: _number(w) for name, w in c.weights.items()},
    }  # fmt: skip


def _verdict(scan: DataScan) -> dict[str, Any]:
    verdict = scan.verdict
    return {
        "answer": verdict.answer,
        "why": spell_surrogates(verdict.why),
        "level": verdict.level,
        "p_value": _number(verdict.p_value),
        "finest_p": _number(verdict.finest_p),
        "evidence": list(verdict.evidence),
        "flagged": int(scan.flagged.sum()),
        "fdr": scan.fdr,
        "clean_expected": clean_expected(scan),
        "clean_at_most": None if scan.naming is None else scan.naming.clean_at_most,
        "confidence": 1 - DOUBT,
        "fdr_bound": scan.naming is not None and scan.naming.bounded,
    }


def clean_expected(scan: DataScan) -> int | None:
    """How many of the named are expected to be clean, at most; None where nothing was compared."""
    if scan.naming is None:
        return None
    expected = math.floor(scan.fdr * int(scan.flagged.sum()) + 1e-9)  # 0.29 * 100 is 28.999...
    return min(expected, scan.naming.clean_at_most)


def ordered(scan: DataScan, judged: Judged) -> Scores:
    """The scores by which examples are named; those of one detector where nothing was compared."""
    return judged.scores if scan.naming is None else scan.naming.scores


def _detector(judged: Judged, scan: DataScan) -> dict[str, Any]:
    method, name = judged.detector, judged.detector.name()
    smallest = min((c.p_values[name] for c in scan.classes if name in c.p_values), default=None)
    return {
        "name": name,
        "config": plain(method.config()),
        "summary": method.summary(),
        "assumes": method.assumes,
        "paper": method.paper,
        "used": list(judged.used),
        "seconds": _number(judged.seconds),
        "smallest_p": _number(smallest),
    }


def is_compared(scan: DataScan) -> bool:
    """Whether suspect and trusted examples were treated alike, so that p-values mean something."""
    return scan.verdict.p_value is not None


def _examples(
    scan: DataScan, data: Dataset, names: Sequence[str], own_ids: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    p_values = {j.detector.name(): j.scores.p_values for j in scan.judged}
    return {
        "ids": data.ids.tolist(),
        "names": [spell_surrogates(name) for name in names],
        "own_ids": {
            spell_surrogates(c): [spell_surrogates(value) for value in own_ids[c]] for c in own_ids
        },
        "labels": data.labels.tolist(),
        "flagged": scan.flagged.tolist(),
        "scores": {j.detector.name(): _column(j.scores.values) for j in scan.judged},
        "p_values": {
            name: _column(column) if column is not None and is_compared(scan) else None
            for name, column in p_values.items()
        },
        "order": None if scan.naming is None else _order(scan.naming.scores),
    }


def _order(scores: Scores) -> dict[str, Any]:
    assert scores.p_values is not None
    return {"scores": _column(scores.values), "p_values": _column(scores.p_values)}


def _column(values: torch.Tensor) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _number(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")


def flagged_rows(
    scan: DataScan, data: Dataset, names: Sequence[str],
    own_ids: Mapping[str, Sequence[str]] = NO_IDS,
) -> str:  # fmt: skip
    """List the flagged examples as CSV, each class from the most suspicious example down.

    Score and p-value are those of the combination that the detector leads in the class. How the
    data themselves name their examples is the last column, `own_id`, where they do. Names
    that a spreadsheet would take for a formula get an apostrophe before them; the record holds
    every name as it is.
    """
    ranked = {j.detector.name(): ordered(scan, j) for j in scan.judged}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["id", "name", "class", "detector", "score", "p_value", *OWN[: len(own_ids)]])
    for label, finding in enumerate(scan.classes):
        scores = ranked.get(finding.by or "")
        if scores is None:
            continue
        rows = (scan.flagged & (data.labels == label)).nonzero().flatten()
        for row in rows[scores.values[rows].argsort(descending=True, stable=True)].tolist():
            who = (int(data.ids[row]), cell(names[row]), cell(finding.name))
            own = (cell(values[row]) for values in own_ids.values())
            table.writerow([*who, finding.by, *_score_and_p_value(scores, row), *own])
    return text.getvalue()


def _score_and_p_value(scores: Scores, row: int) -> tuple[float | None, float | None]:
    p_value = None if scores.p_values is None else _number(float(scores.p_values[row]))
    return _number(float(scores.values[row])), p_value


def compact(content: dict[str, Any]) -> str:
    """Spell a record as JSON, one line for each of its parts."""
    lines = [
        f"{json.dumps(key)}: {json.dumps(part, allow_nan=False, separators=(',', ':'))}"
        for key, part in content.items()
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"
