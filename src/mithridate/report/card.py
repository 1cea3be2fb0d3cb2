"""The card of a network that was trained or repaired here: what was done, harmed, paid, unknown.

The record is strict JSON; the page is drawn from the record and from nothing else.
Axes: n trusted examples that were set apart, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from mithridate.bench.metrics.comparing import DESTROYED
from mithridate.core.data import Dataset
from mithridate.core.files import write_text
from mithridate.core.fingerprint import fingerprint
from mithridate.core.method import Method
from mithridate.core.plain import finite, plain
from mithridate.core.runtime import environment
from mithridate.pipelines.damage import ClassDamage, Damage
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.repaired import OwnBackdoor
from mithridate.report import pages
from mithridate.report.quoting import shorten, spell_surrogates
from mithridate.report.record import compact
from mithridate.report.unknown import list_unknowns
from mithridate.stats.intervals import Interval

SCHEMA = "mithridate-card/1"
ROWS = 12  # classes in the table before the rest is folded away


@dataclass(frozen=True, eq=False)
class NetworkWork:
    """What was done to a network, with what, and what came out.

    Attributes:
        verb: "train" or "repair".
        method: the trainer or the repair.
        then: what followed a scan, "none" where nothing did.
        ended: how that ended, in words.
        network: its name, "" is the default of the domain.
        origins: where the data, the trusted examples and the network before came from, by "data",
            "trusted" and "model".
        data: the suspects.
        trusted: all that were given.
        measured: those of them that nothing was trained on.
        damage: on them.
        scans: of the data, before and after.
        changed: share of the suspects that are called otherwise.
        used: evidence that the method asked for, None where that was not noted.
        saw: what the network before was trained on.
        notes: numbers of examples that the trainer noted, by name.
        rejected: (name, why) of what could not be read.
        cost: seconds, and examples passed.
        resumed: whether a stopped training went on.
        accuracy: of the network before, on all trusted examples.
        undone: whether a repair cost more than was asked, so that the old weights came back.
        own: backdoors that the repair planted itself, and what is left of them.
        max_loss: what was asked, as a share; None where nothing was.
    """

    verb: Literal["train", "repair"]
    method: Method
    network: str
    classes: tuple[str, ...]
    domain: str
    origins: dict[str, str]
    cost: dict[str, float]
    data: Dataset | None = None
    trusted: Dataset | None = None
    measured: Dataset | None = None
    damage: Damage | None = None
    scans: tuple[DataScan, ...] = ()
    changed: Interval | None = None
    used: tuple[str, ...] | None = None
    saw: str = ""
    then: str = "none"
    ended: str = ""
    notes: dict[str, int] = field(default_factory=dict)
    rejected: tuple[tuple[str, str], ...] = ()
    resumed: bool = False
    accuracy: Interval | None = None
    undone: bool = False
    own: tuple[OwnBackdoor, ...] = ()
    max_loss: float | None = None


def write_card(
    work: NetworkWork, folder: Path, *, sha256: str, command: str = "", seed: int = 0
) -> dict[str, Any]:
    """Write card.html and card.json into a folder, the latter last; returns the record.

    Args:
        sha256: of the file with the weights.
        command: what repeats the work.
    """
    content = record(work, sha256=sha256, command=command, seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "card.html", page(content))
    write_text(folder / "card.json", compact(content))
    return content


def record(work: NetworkWork, *, sha256: str, command: str = "", seed: int = 0) -> dict[str, Any]:
    """Give all of the work as plain values that strict JSON can hold."""
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "verb": work.verb,
        "method": {
            "name": work.method.name(), "summary": work.method.summary(),
            "paper": work.method.paper, "config": plain(work.method.config()),
            "used": None if work.used is None else list(work.used),
            "notes": work.notes,
        },
        "then": work.then,
        "ended": spell_surrogates(work.ended),
        "undone": work.undone,
        "own": [_planted(each) for each in work.own],
        "max_loss": _finite(work.max_loss),
        "network": {
            "name": work.network, "domain": work.domain, "sha256": sha256,
            "classes": [spell_surrogates(name) for name in work.classes],
            "before": spell_surrogates(work.origins.get("model", "")), "saw": work.saw,
            "accuracy_before": _interval(work.accuracy),
        },
        "data": _describe(work.data, work.origins.get("data", "")),
        "trusted": _describe(work.trusted, work.origins.get("trusted", "")),
        "damage": None if work.damage is None else _damage(work.damage),
        "measured": 0 if work.measured is None else len(work.measured),
        "changed": _interval(work.changed),
        "scans": [_scan(scan) for scan in work.scans],
        "rejected": [
            {"name": spell_surrogates(name), "why": spell_surrogates(why)}
            for name, why in work.rejected
        ],
        "resumed": work.resumed,
        "cost": {name: _finite(value) for name, value in work.cost.items()},
        "command": spell_surrogates(command),
        "seed": seed,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": environment(),
    }  # fmt: skip
    return {**content, "done": describe_work(content), "unknown": list_unknowns(content)}


def _describe(data: Dataset | None, origin: str) -> dict[str, Any] | None:
    if data is None:
        return None
    return {"origin": spell_surrogates(origin), "examples": len(data), "sha256": fingerprint(data)}


def _damage(harm: Damage) -> dict[str, Any]:
    fallen = None if harm.before is None else harm.before.value - harm.after.value
    return {
        "before": _interval(harm.before),
        "after": _interval(harm.after),
        "fall": _finite(fallen),
        "loss": _interval(harm.fall),
        "lost": _interval(harm.lost),
        "gained": _interval(harm.gained),
        "changed": _interval(harm.changed),
        "destroyed": fallen is not None and fallen >= DESTROYED,
        "worst": _class(harm.worst),
        "classes": [_class(each) for each in harm.classes],
    }


def _class(harm: ClassDamage) -> dict[str, Any]:
    return {
        "name": spell_surrogates(harm.name),
        "before": _interval(harm.before),
        "after": _interval(harm.after),
        "fall": _finite(harm.fall),
    }


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {
        "value": _finite(interval.value),
        "low": _finite(interval.low),
        "high": _finite(interval.high),
        "n": interval.n,
    }


def _finite(value: float | None) -> float | None:
    kept: float | None = None if value is None else finite(round(float(value), 9))
    return kept


def _scan(scan: DataScan) -> dict[str, Any]:
    verdict = scan.verdict
    return {
        "answer": verdict.answer,
        "why": spell_surrogates(verdict.why),
        "level": verdict.level,
        "p_value": _finite(verdict.p_value),
        "flagged": int(scan.flagged.sum()),
        "fdr": scan.fdr,
        "detectors": [judged.detector.name() for judged in scan.judged],
    }


def describe_work(content: dict[str, Any]) -> list[str]:
    """Say in plain sentences what was done."""
    name, n = content["method"]["name"], (content["data"] or {}).get("examples", 0)
    if content["verb"] == "repair":
        worked = content["trusted"]["examples"] - content["measured"]
        had = f"It was given {worked:,} trusted examples"
        had += f" and {n:,} that may be poisoned." if n else "."
        whole = [f"A copy of the given network was repaired by {name}.", had]
        chose = [f"{content['ended']}."] if content["ended"] else []
        return [*whole, *chose, *_own(content), *_undone(content)]
    noted = [
        f"The trainer noted {number:,} examples as {kind}."
        for kind, number in content["method"]["notes"].items()
    ]
    if content["resumed"]:
        noted.append("A stopped training went on; the cost is what was spent since.")
    if content["then"] == "none":
        return [f"A fresh network was trained by {name} on {n:,} unchecked examples.", *noted]
    scan = content["scans"][0]
    return [
        f"A network was trained on {n:,} unchecked examples and the trusted ones that were not set "
        f"apart, and a scan with it flagged {scan['flagged']:,}.",
        f"{content['ended'][:1].upper()}{content['ended'][1:]}.",
        *noted,
    ]


def _planted(own: OwnBackdoor) -> dict[str, Any]:
    return {
        "stamp": spell_surrogates(own.stamp), "label": spell_surrogates(own.label),
        "planted": _interval(own.planted), "left": _interval(own.left),
    }  # fmt: skip


def _own(content: dict[str, Any]) -> list[str]:
    """Say how much is left of each backdoor that the repair planted itself."""
    return [
        f"Its own backdoor, {shorten(each['stamp'], 80)}, worked in "
        f"{_percent(each['planted']['value'])} of cases, and in {_percent(each['left']['value'])} "
        f"({_range(each['left'])}) after the repair."
        for each in content["own"]
    ]


def _undone(content: dict[str, Any]) -> list[str]:
    """Say that a repair was undone, where it was."""
    if not content["undone"]:
        return []
    return [
        f"More than the {_points(content['max_loss'])} points of accuracy that were allowed would "
        "be lost, so nothing was changed: the weights are those of the given network."
    ]


def page(content: dict[str, Any]) -> str:
    """Draw the page of a record."""
    environment = pages.environment()
    environment.filters.update(
        short=shorten, count=_count, percent=_percent, range=_range, points=_points,
        settings=_settings,
    )  # fmt: skip
    damage = content["damage"]
    classes = [] if damage is None else [c for c in damage["classes"] if c["after"]["n"]]
    return environment.get_template("card.html").render(
        record=content,
        classes=sorted(classes, key=lambda c: -c["fall"]),
        rows=ROWS,
    )


def _count(value: float) -> str:
    """A number with its thousands apart."""
    return f"{value:,.0f}"


def _percent(share: float) -> str:
    """A share in percent with one digit, where only all is 100 and only nothing is 0."""
    shown = f"{100 * share:.1f}"
    if (shown == "100.0" and share < 1) or (shown == "0.0" and share > 0):
        shown = "99.9" if share > 0.5 else "0.1"  # rounding may not turn some into all or none
    return f"{shown} %"


def _range(interval: dict[str, Any]) -> str:
    """The bounds of an interval in percent."""
    return f"{100 * interval['low']:.1f} to {100 * interval['high']:.1f} %"


def _settings(config: dict[str, Any], before: str = "") -> str:
    """A configuration as "a = 1, b.c = 2", without the names of methods."""
    told = []
    for name, value in config.items():
        if isinstance(value, dict):
            told.append(_settings(value, f"{before}{name}."))
        elif name != "method":
            told.append(f"{before}{name} = {value}")
    return ", ".join(told)


def _points(fall: float) -> str:
    """A fall of the accuracy in points; a rise is negative."""
    return f"{100 * fall:.1f}".replace("-0.0", "0.0").replace("-", "−")  # noqa: RUF001 - a minus
