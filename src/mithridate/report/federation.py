"""The report of a federation: accuracy and attack by round, and what the server saw of each client.

The record is strict JSON; the page is drawn from the record and from nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mithridate.core.files import write_text
from mithridate.core.fingerprint import fingerprint
from mithridate.core.method import Method
from mithridate.core.plain import finite, plain
from mithridate.core.runtime import environment
from mithridate.pipelines.federation_lines import doubts
from mithridate.pipelines.ready_federation import FederationOutcome, ReadyFederation
from mithridate.report import pages
from mithridate.report.figures import Figure
from mithridate.report.heat_maps import heat_maps
from mithridate.report.quoting import shorten, spell_surrogates
from mithridate.report.record import compact
from mithridate.stats.intervals import Interval
from mithridate.stats.ranking import auroc

SCHEMA = "mithridate-federation/1"
RECORD, PAGE = "federation.json", "federation.html"
DOUBTED = 5
"""Clients of whom the page says in words what the server saw; the record holds all."""
LEFT, RIGHT, TOP, BOTTOM = 36, 350, 12, 160
"""The frame of a figure, as in templates/figure.html."""


@dataclass(frozen=True, eq=False)
class FederationWork:
    """What was run, and what came out.

    Attributes:
        job: What was run.
        outcome: What came out.
        origins: Where the examples came from, by what they were for.
        division: How they were divided, in words.
        command: The command line.
    """

    job: ReadyFederation
    outcome: FederationOutcome
    origins: dict[str, str] = field(default_factory=dict)
    division: str = ""
    command: str = ""


def write_federation(work: FederationWork, folder: Path) -> dict[str, Any]:
    """Write the page and, last, the record into a folder; gives the record."""
    content = federation_record(work)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / PAGE, federation_page(content))
    write_text(folder / RECORD, compact(content))
    return content


def federation_record(work: FederationWork) -> dict[str, Any]:
    """Give all of the work as plain values that strict JSON can hold."""
    job, made = work.job, work.outcome.made
    settings = job.federation
    attacks = list(dict.fromkeys(job.attackers.values()))
    doubted = doubts(made.lines)
    return {
        "schema": SCHEMA,
        "aggregator": _method(settings.aggregator),
        "protocol": _method(settings.protocol),
        "attacks": [_method(attack) for attack in attacks],
        "settings": {
            "rounds": settings.rounds, "participation": settings.participation,
            "server_rate": settings.server_rate, "moments": settings.moments,
            "training": plain(vars(settings.training)),
        },
        "network": job.network, "domain": job.domain.name, "seed": job.seed,
        "division": work.division,
        "origins": {name: spell_surrogates(where) for name, where in work.origins.items()},
        "test": {"examples": len(job.test), "sha256": fingerprint(job.test)},
        "clients": [
            {"client": i, "examples": len(data), "attacks": i in job.attackers,
             "doubt": _rounded(doubted.get(i))}
            for i, data in enumerate(job.clients)
        ],
        "accuracy": {n: _interval(v) for n, v in work.outcome.accuracy.items()},
        "success": {n: _interval(v) for n, v in work.outcome.success.items()},
        "naming": _naming(doubted, set(job.attackers)),
        "rounds": finite([line.plain() for line in made.lines]),
        "cost": made.cost,
        "command": spell_surrogates(work.command),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": environment(),
    }  # fmt: skip


def federation_page(content: dict[str, Any]) -> str:
    """Draw the page of a record."""
    templates = pages.environment()
    templates.filters |= {
        "percent": lambda share: f"{100 * share:.1f} %", "short": shorten,
        "count": lambda number: f"{number:,.0f}", "settings": _spelt,
        "range": lambda i: f"{100 * i['low']:.1f} to {100 * i['high']:.1f} %",
    }  # fmt: skip
    return templates.get_template("federation.html").render(
        record=content, curves=curves(content), maps=heat_maps(content),
        told=told(content), ranked=_ranked(content)[:DOUBTED], refused=_refused(content),
    )  # fmt: skip


def told(content: dict[str, Any]) -> list[str]:
    """Say in plain sentences what came out."""
    attackers = [each["client"] for each in content["clients"] if each["attacks"]]
    rounds, m = content["settings"]["rounds"], len(content["clients"])
    said = [
        f"{_counted(m, 'client')} trained in {_counted(rounds, 'round')}; the server aggregated by "
        f"{content['aggregator']['name']}."
    ]
    if attackers:
        names = " and ".join(attack["name"] for attack in content["attacks"])
        said.append(f"{_clients(attackers)} attacked, by {names}.")
    else:
        said.append("Nobody attacked.")
    void = sum(bool(line["void"]) for line in content["rounds"])
    if void:
        said.append(
            f"In {_counted(void, 'round')} too few clients were let in, and the model stayed."
        )
    return [*said, *_naming_told(content, attackers)]


def _naming_told(content: dict[str, Any], attackers: Sequence[int]) -> list[str]:
    """Say whether the server could tell who attacked."""
    naming = content["naming"]
    if not naming["ranks"]:
        return ["The aggregator ranked nobody: what it saw of each client is below."]
    first = _ranked(content)[: max(1, len(attackers))]
    who = sorted(each["client"] for each in first)
    said = [f"{_clients(who)} ranked as most suspicious over all rounds."]
    if attackers and naming["auroc"] is not None:
        said.append(
            f"Attackers rank above honest clients in {100 * naming['auroc']:.0f} % of pairs "
            "(50 % is chance)."
        )
    return said


def _counted(number: int, what: str) -> str:
    """Spell a number of things."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _clients(numbers: Sequence[int]) -> str:
    """Name clients at the beginning of a sentence."""
    *first, last = map(str, numbers)
    return f"Clients {', '.join(first)} and {last}" if first else f"Client {last}"


def curves(content: dict[str, Any]) -> list[Figure]:
    """Draw accuracy and attack success by round, a figure for each form of the model."""
    forms = list(dict.fromkeys(form for line in content["rounds"] for form in line["seen"]))
    return [_curve(content, form) for form in forms]


def _curve(content: dict[str, Any], form: str) -> Figure:
    lines = content["rounds"]
    paths, last = {}, {}
    for name in ("accuracy", "success"):
        seen = [(each["number"], each["seen"].get(form, {}).get(name)) for each in lines]
        points = [(number, value) for number, value in seen if value is not None]
        paths[name] = _path(points, len(lines))
        last[name] = points[-1][1] if points else None
    words = [f"accuracy {100 * last['accuracy']:.1f} %"] if last["accuracy"] is not None else []
    if last["success"] is not None:
        words.append(f"attack success {100 * last['success']:.1f} %")
    title = "the model" if form == "model" else f"the model, {form}"
    return Figure(
        title=title, alt=f"{title} after the last round: {', '.join(words)}",
        suspects=paths["success"], trusted=paths["accuracy"], others=(),
        x_ticks=tuple((_across(n, len(lines)), str(n + 1)) for n in _ticks(len(lines))),
        y_ticks=tuple((_up(share), f"{share:.0%}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)),
        x_label="round",
    )  # fmt: skip


def _path(points: Sequence[tuple[int, float]], rounds: int) -> str:
    """An SVG path through shares by round."""
    places = [f"{_across(number, rounds)} {_up(value)}" for number, value in points]
    if len(places) == 1:
        return f"M{places[0]}h4"  # one point alone would not be seen
    return "" if not places else "M" + "L".join(places)


def _across(number: int, rounds: int) -> float:
    return round(LEFT + (RIGHT - LEFT) * (number / max(1, rounds - 1)), 1)


def _up(share: float) -> float:
    return round(BOTTOM - (BOTTOM - TOP) * share, 1)


def _ticks(rounds: int) -> list[int]:
    """A few rounds, the first and the last among them."""
    step = max(1, math.ceil((rounds - 1) / 5))
    return [*range(0, max(1, rounds - step // 2 - 1), step), rounds - 1][:8] if rounds > 1 else [0]


def _ranked(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The clients in order of doubt, the most doubted first, with what the server saw of them."""
    known = [each for each in content["clients"] if each["doubt"] is not None]
    first = sorted(known, key=lambda each: -each["doubt"])
    return [{**each, "why": _why(content, each["client"])} for each in first]


def _why(content: dict[str, Any], client: int) -> str:
    """What the server saw of a client, beside the others, in words."""
    mine, others = _lines_of(content, client)
    said = []
    for name, words in (
        ("trust", "was trusted {0:.2f} on average, others {1:.2f}"),
        ("norm", "sent updates of norm {0:.2g}, others {1:.2g}"),
        ("cosine", "had a cosine of {0:.2f} with the step, others {1:.2f}"),
        ("overlap", "held {0:.1%} of its mask in the consensus, others {1:.1%}"),
    ):
        own, theirs = _mean(mine, name), _mean(others, name)
        if own is not None and theirs is not None:
            said.append(words.format(own, theirs))
    refused = [line["refused"] for line in mine if line["refused"]]
    if refused:
        said.append(f"was refused in {_counted(len(refused), 'round')}: {refused[0]}")
    return "; ".join(said)


def _lines_of(
    content: dict[str, Any], client: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What was seen of one client, and of all others."""
    lines = [line for each in content["rounds"] for line in each["clients"]]
    mine = [line for line in lines if line["client"] == client]
    return mine, [line for line in lines if line["client"] != client]


def _mean(lines: Sequence[dict[str, Any]], name: str) -> float | None:
    known = [line[name] for line in lines if line[name] is not None]
    return sum(known) / len(known) if known else None


def _refused(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Who was left out at the door, how often and why."""
    refusals: dict[int, list[str]] = {}
    for each in content["rounds"]:
        for line in each["clients"]:
            if line["refused"]:
                refusals.setdefault(line["client"], []).append(line["refused"])
    return [{"client": c, "times": len(why), "why": why[0]} for c, why in sorted(refusals.items())]


def _naming(doubted: dict[int, float], attackers: set[int]) -> dict[str, Any]:
    """Whether clients are ranked, and how well attackers are told from others by it."""
    both = attackers & set(doubted) and set(doubted) - attackers
    scores = torch.tensor(list(doubted.values()))
    positive = torch.tensor([client in attackers for client in doubted])
    return {
        "ranks": bool(doubted),
        "auroc": _rounded(auroc(scores, positive)) if both else None,
    }


def _method(method: Method) -> dict[str, Any]:
    return {
        "name": method.name(), "summary": method.summary(), "paper": method.paper,
        "assumes": getattr(method, "assumes", ""),
        "config": plain({k: v for k, v in method.config().items() if k != "method"}),
    }  # fmt: skip


def _interval(interval: Interval) -> dict[str, Any]:
    value, low, high, n = interval
    return {"value": value, "low": low, "high": high, "n": n}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _spelt(config: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.items())
