"""What is known of clean networks from an earlier scan, so that none need be trained again.

Axes: m reference networks, c classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.core.fingerprint import fingerprint
from mithridate.core.plain import plain
from mithridate.core.scanner import Scanner
from mithridate.stats.population import Floats

SCHEMA = "mithridate-model-scan/1"
"""Of the reports that are read."""
LARGEST = 64 << 20
"""Bytes of a report: it may come from outside."""


class Form(NamedTuple):
    """What references must have in common with a model: how it is built, deployed and fed.

    Attributes:
        encoding: the mean and standard deviation that were given for its images.
    """

    network: str
    precision: str
    classes: int
    encoding: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())


def asked_with(where: str, several: Sequence[Dataset], seed: int) -> Dataset:
    """Give the trusted examples, of several choices, that the scanners saw in an earlier scan.

    Scores are compared between models only where the same examples and draws were used.

    Raises:
        DataError: where none of them are, or the seed was another.
    """
    content = _read(where)
    trusted = content.get("trusted")
    theirs = trusted.get("sha256") if isinstance(trusted, dict) else None
    same = [data for data in several if fingerprint(data) == theirs]
    if not same or content.get("seed", 0) != seed:
        origin = str(trusted.get("origin"))[:200] if isinstance(trusted, dict) else "nothing"
        raise DataError(
            f"{where!r}: the clean networks in it were scanned with other trusted examples (of "
            f"{origin!r}) or another seed, so their scores do not compare; give the same --data, "
            "--split, --count, --apart and --seed, or let references be trained"
        )
    return same[0]


def known(where: str, scanners: Sequence[Scanner], form: Form) -> dict[str, Floats]:
    """Read the scores of clean networks by scanner, float64[m, c], from the report of a scan.

    A scanner that is not in it with the same settings is left out.

    Args:
        where: a report.json of `mithridate scan model`, or the name of a population that comes with
            the library.

    Raises:
        DataError: where there is no such report, or it is about networks of another form.
    """
    content = _read(where)
    model = content["model"]
    told = [model["network"], model["precision"], len(content["classes"])]
    told.append(model.get("encoding") or [[], []])
    if told != [*form[:3], [list(part) for part in form.encoding]]:
        raise DataError(
            f"{where!r}: its clean networks are not like the model: {unlike(form, told)}; scan "
            "with others, or let references be trained"
        )
    settings = {s.name(): json.loads(json.dumps(plain(s.config()))) for s in scanners}
    return {
        each["name"]: _scores(where, each["references"], form.classes)
        for each in content["scanners"]
        if each["references"] and settings.get(each["name"]) == each["config"]
    }


def unlike(form: Form, told: Sequence[Any]) -> str:
    """Say in words in what clean networks differ from a model; told: as a report tells of them."""
    ours = [*form[:3], [list(part) for part in form.encoding]]
    names = ("the network", "the precision", "the number of classes", "how inputs enter")
    spelt = [(_entering if name == names[3] else str) for name in names]
    return "; ".join(
        f"{name} is {say(mine)[:200]} here and {say(theirs)[:200]} there"
        for name, say, mine, theirs in zip(names, spelt, ours, told, strict=True)
        if mine != theirs
    )


def _entering(pair: Any) -> str:
    """Spell an encoding as it is asked for."""
    if not isinstance(pair, list) or len(pair) != 2 or not any(pair):
        return "as the network's library says (no --mean, no --std)"
    mean, std = (",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in part)
                 if isinstance(part, list) else "?" for part in pair)  # fmt: skip
    return f"by --mean {mean or '0'} --std {std or '1'}"


def _read(where: str) -> dict[str, Any]:
    """The report, with the parts that are looked at."""
    path = Path(where)
    shipped = resources.files("mithridate.pipelines") / "populations" / f"{path.name}.json"
    if not path.exists() and path.name == where and shipped.is_file():
        content: Any = json.loads(shipped.read_text("utf-8"))
    else:
        if not path.is_file() or path.stat().st_size > LARGEST:
            raise DataError(f"{where!r}: expected the report.json of a scan of a model")
        try:
            content = json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError):
            raise DataError(
                f"{where!r}: expected the report.json of a scan, found no JSON"
            ) from None
    try:
        if content["schema"] == SCHEMA and isinstance(content["classes"], list):
            _ = [(s["name"], s["config"], s["references"]) for s in content["scanners"]]
            _ = content["model"]["network"], content["model"]["precision"]
            return dict(content)
    except (KeyError, TypeError):
        pass
    raise DataError(f"{where!r}: expected the report.json of `mithridate scan model`")


def _scores(where: str, rows: Any, classes: int) -> Floats:
    try:
        scores = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        scores = np.zeros(0)
    if scores.ndim != 2 or scores.shape[1] not in (1, classes) or not np.isfinite(scores).all():
        raise DataError(
            f"{where!r}: expected finite scores of every reference and class, found "
            f"shape {list(scores.shape)}"
        )
    return scores
