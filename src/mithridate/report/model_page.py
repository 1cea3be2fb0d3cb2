"""The report of a scanned model: verdict, recovered triggers, classes against clean networks.

The record is strict JSON; the page is drawn from the record and from nothing else.
Axes: m reference networks, c classes, n inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mithridate.core.data import Dataset
from mithridate.core.files import write_text
from mithridate.core.fingerprint import fingerprint
from mithridate.core.plain import plain
from mithridate.core.runtime import environment
from mithridate.core.scanner import Scanner
from mithridate.domains.registry import show_inputs
from mithridate.pipelines.guarded import Decisions
from mithridate.pipelines.membership import SAID, Membership
from mithridate.pipelines.model_scan import ModelScan
from mithridate.report import pages
from mithridate.report.quoting import shorten, spell_surrogates
from mithridate.report.record import compact
from mithridate.stats.intervals import Interval
from mithridate.stats.leaving_out import Floats

SCHEMA = "mithridate-model-scan/1"
SHOWN = 12
"""Classes drawn, and triggers and inputs shown; the record holds all."""
LEFT, RIGHT, TOP, BOTTOM = 36, 350, 12, 160
"""The frame of a figure, as in templates/figure.html."""


@dataclass(frozen=True)
class ScannedFile:
    """The model that was scanned.

    Attributes:
        origin: Its path, as it was given.
        sha256: Of the file.
        network: The name of its network.
        precision: The precision in which it was scanned.
        agreement: How often the artefact and its twin agree, empty where they are one.
        findings: What the look at the file showed.
        encoding: The mean and standard deviation that were given for its inputs.
        accuracy: On the trusted examples, None where it was not measured.

    """

    origin: str
    sha256: str
    network: str
    precision: str
    agreement: dict[str, float] = field(default_factory=dict)
    findings: tuple[str, ...] = ()
    encoding: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    accuracy: Interval | None = None


@dataclass(frozen=True, eq=False)
class TrustedExamples:
    """Examples that are known to be clean, divided.

    Attributes:
        shown: Those that the scanners saw.
        learnt: Those on which references were trained, None where none were.
        origin: Where all of them came from, in words.

    """

    shown: Dataset
    learnt: Dataset | None = None
    origin: str = ""


@dataclass(frozen=True, eq=False)
class WatchedInputs:
    """Inputs that arrived, and what the guards said of them.

    Attributes:
        inputs: They themselves.
        decisions: One for each of them.
        guards: The names of the detectors.

    """

    inputs: Dataset
    decisions: Decisions
    guards: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ModelWork:
    """What was scanned, with what, and what came out.

    Attributes:
        scan: What came out.
        scanners: Those that were asked, in their order.
        file: The model.
        trusted: The trusted examples.
        references: How many clean networks it was compared with, and what they are.
        watched: Inputs that arrived, None where none were given or the guards did not apply.
        cost: Seconds, by name.

    """

    scan: ModelScan
    scanners: tuple[Scanner, ...]
    file: ScannedFile
    trusted: TrustedExamples
    references: str
    watched: WatchedInputs | None = None
    cost: dict[str, float] = field(default_factory=dict)


def write_model_report(
    work: ModelWork, folder: Path, *, command: str = "", seed: int = 0
) -> dict[str, Any]:
    """Write report.html and report.json into a folder, the latter last; returns the record."""
    content = record(work, command, seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.html", page(content))
    write_text(folder / "report.json", compact(content))
    return content


def record(work: ModelWork, command: str = "", seed: int = 0) -> dict[str, Any]:
    """Give all that was found as plain values that strict JSON can hold."""
    scan, file, trusted = work.scan, work.file, work.trusted
    by_class = scan.by_class if scan.by_class is not None else np.ones(len(scan.classes))
    return {
        "schema": SCHEMA,
        "verdict": _verdict(scan),
        "model": {
            "origin": spell_surrogates(file.origin), "sha256": file.sha256,
            "network": spell_surrogates(file.network),
            "precision": file.precision,
            "agreement": file.agreement,
            "accuracy": None if file.accuracy is None else file.accuracy._asdict(),
            "encoding": [list(part) for part in file.encoding],
            "findings": [spell_surrogates(finding) for finding in file.findings],
        },
        "trusted": {
            "origin": spell_surrogates(trusted.origin), "examples": len(trusted.shown),
            "sha256": fingerprint(trusted.shown),
            "learnt": 0 if trusted.learnt is None else len(trusted.learnt),
        },
        "references": spell_surrogates(work.references),
        "scanners": [_scanner(scanner, scan) for scanner in work.scanners],
        "classes": [
            {"name": spell_surrogates(name), "p_value": float(p)}
            for name, p in zip(scan.classes, by_class, strict=True)
        ],
        "judges_classes": scan.by_class is not None,
        "membership": None if scan.membership is None else _membership(scan.membership),
        "triggers": triggers(scan, by_class),
        "arriving": None if work.watched is None else _arriving(work.watched, scan.classes),
        "used": list(scan.used),
        "cost": {name: round(float(value), 3) for name, value in work.cost.items()},
        "command": spell_surrogates(command),
        "seed": seed,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": environment(),
    }  # fmt: skip


def _verdict(scan: ModelScan) -> dict[str, Any]:
    """The answer, how far beyond every reference the model lies, and how rare that would be."""
    verdict, among = scan.verdict, scan.among
    return {
        "answer": verdict.answer,
        "why": spell_surrogates(verdict.why),
        "level": verdict.level,
        "p_value": verdict.p_value,
        "finest_p": verdict.finest_p,
        "beyond": None if among is None else _rounded(among.beyond),
        "tail_p": None if among is None else _rounded(among.tail_p),
    }


def _scanner(scanner: Scanner, scan: ModelScan) -> dict[str, Any]:
    name = scanner.name()
    scores, pairs = scan.scores.get(name), scan.pairs.get(name)
    return {
        "name": name,
        "summary": scanner.summary(),
        "paper": scanner.paper,
        "assumes": scanner.assumes,
        "config": plain(scanner.config()),
        "p_value": scan.by_scanner.get(name),
        "unheard": spell_surrogates(scan.unheard.get(name, "")),
        "dropped": scan.dropped.get(name, 0),
        "scores": None if scores is None else scores[0].tolist(),
        "references": None if scores is None else [row.tolist() for row in scores[1:]],
        "pairs": None if pairs is None else [row.tolist() for row in pairs[1:]],
    }


def _rounded(value: float) -> float:
    """Give a figure to six digits."""
    return float(f"{value:.6g}")


def _membership(belongs: Membership) -> dict[str, Any]:
    """What the model and its references do with trusted examples."""
    return {
        "p_value": belongs.belonging.p_value,
        "distance": _rounded(belongs.belonging.distance),
        "farthest": _rounded(belongs.belonging.farthest),
        "why": belongs.why,
        "figures": [
            {
                "says": says,
                "own": belongs.own[name],
                "low": belongs.low[name],
                "high": belongs.high[name],
            }
            for name, says in SAID.items()
        ],
        "others": [dict(row) for row in belongs.others],
    }


def triggers(scan: ModelScan, by_class: Floats) -> list[dict[str, Any]]:
    """Show what scanners recovered for the classes that stand out most, as pictures.

    The picture is the pattern where the mask covers, on mid grey; covered is the mean of the mask.
    A pattern without a mask that has negative values is added to inputs: its largest value is drawn
    black or white. Only what looks like an input of three axes can be shown.
    """
    rows = []
    for name, evidence in scan.shown.items():
        pattern, mask = evidence.get("pattern"), evidence.get("mask")
        if pattern is None or pattern.ndim != 4 or pattern.shape[1] not in (1, 3):
            continue
        if mask is None and bool((pattern < 0).any()):
            largest = pattern.abs().flatten(1).amax(1).clamp_min(1e-9).view(-1, 1, 1, 1)
            pattern = 127.5 + pattern * (127.5 / largest)
        mask = torch.ones_like(pattern[:, :1]) if mask is None else mask
        own = scan.scores[name][0]
        order = sorted(range(len(own)), key=lambda k: (by_class[k], -own[k]))
        drawn = (mask * pattern + (1 - mask) * 127.5).round().clamp(0, 255).to(torch.uint8)
        pictures = show_inputs(drawn)
        rows += [
            {
                "scanner": name,
                "class": spell_surrogates(scan.classes[k]),
                "p_value": float(by_class[k]),
                "covered": round(float(mask[k].mean()), 4),
                "picture": pictures.card(k, {}),
            }
            for k in order[: SHOWN // 2]
        ]
    return rows


def _arriving(watched: WatchedInputs, classes: tuple[str, ...]) -> dict[str, Any]:
    """The inputs that a guard watched, the most suspicious ones with their pictures or texts."""
    decisions, exhibits = watched.decisions, show_inputs(watched.inputs.inputs)
    p = decisions.p_values
    order = torch.nan_to_num(p, nan=2.0).argsort(stable=True)[:SHOWN].tolist()
    counts = {a: decisions.action.count(a) for a in ("accept", "refuse", "abstain")}
    return {
        "kind": exhibits.kind,
        "guards": list(watched.guards),
        "examples": len(watched.inputs),
        "counts": counts,
        "shown": [
            {
                "row": row,
                "called": spell_surrogates(_name(classes, int(decisions.predicted[row]))),
                "p_value": None if math.isnan(float(p[row])) else float(p[row]),
                "action": decisions.action[row],
                "card": exhibits.card(row, {}),
            }
            for row in order
        ],
    }


def _name(classes: tuple[str, ...], label: int) -> str:
    return classes[label] if label >= 0 else "nothing: its answer is not finite"


def page(content: dict[str, Any]) -> str:
    """Draw the page of a record."""
    environment = pages.environment()
    environment.filters.update(short=shorten, percent=_percent, p=_p)
    heard = [s for s in content["scanners"] if s["scores"] is not None]
    names = [c["name"] for c in content["classes"]]
    ps = [c["p_value"] for c in content["classes"]]
    return environment.get_template("model.html").render(
        record=content,
        strips=[strip(s, names, ps) for s in heard],
        unheard=[s for s in content["scanners"] if s["scores"] is None],
        summaries={s["name"]: s["summary"] for s in content["scanners"]},
        named=[
            c for c in content["classes"] if c["p_value"] <= content["verdict"]["level"] + 1e-12
        ],
    )


def strip(scanner: dict[str, Any], names: Sequence[str], ps: Sequence[float]) -> dict[str, Any]:
    """Place the score of each class among those of the references, in the frame of a figure.

    The classes that stand out most come first; dots of a class that is not drawn are in the record.
    """
    own, others = np.array(scanner["scores"]), np.array(scanner["references"])
    whole_model = len(own) == 1
    order = [0] if whole_model else sorted(range(len(own)), key=lambda k: (ps[k], -own[k]))[:SHOWN]
    every = np.concatenate([own[None], others])[:, order]
    low, high = float(every.min()), float(every.max())
    span = (high - low) or 1.0
    columns = [LEFT + (i + 0.5) * (RIGHT - LEFT) / len(order) for i in range(len(order))]

    def height(value: float) -> float:
        return round(BOTTOM - 6 - (value - low) / span * (BOTTOM - TOP - 12), 1)

    return {
        "name": scanner["name"], "p_value": scanner["p_value"],
        "references": "".join(
            f"M{x:.1f} {height(v)}h0"
            for i, x in enumerate(columns) for v in others[:, order[i]]
        ),
        "suspect": "".join(
            f"M{x:.1f} {height(own[k])}h0" for x, k in zip(columns, order, strict=True)
        ),
        "labels": [
            (round(x, 1), "model" if whole_model else names[k])
            for x, k in zip(columns, order, strict=True)
        ],
        "ticks": [(height(v), _tick(v)) for v in (low, (low + high) / 2, high)],
        "count": len(others), "drawn": len(order), "classes": len(own),
    }  # fmt: skip


def _tick(value: float) -> str:
    """A number of at most six characters."""
    small = 0 < abs(value) < 0.01
    return f"{value:.0e}".replace("e-0", "e-") if small else f"{value:.3g}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
