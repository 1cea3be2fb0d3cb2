"""What is known of clean networks from an earlier scan, so that none need be trained again.

Axes: m reference networks, c classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from mithridate.core.data import Dataset
from mithridate.core.errors import DataError
from mithridate.core.files import write_json
from mithridate.core.fingerprint import fingerprint
from mithridate.core.plain import plain
from mithridate.core.scanner import Scanner
from mithridate.core.spelling import option
from mithridate.pipelines.membership import Vitals
from mithridate.pipelines.model_scan import ModelScan
from mithridate.stats.leaving_out import Floats

SCHEMA = "mithridate-population/1"
REPORT = "mithridate-model-scan/1"
"""Of the reports in which populations were kept before they had a format of their own."""

RENAMED = {"rate": "learning_rate"}
"""Settings of scanners that such reports spell otherwise."""

LARGEST = 64 << 20
"""Bytes of a file: it may come from outside."""

Encoding = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class Form:
    """What references must have in common with a model: how it is built, deployed and fed.

    Attributes:
        network: The name of the network.
        precision: The precision in which it is deployed.
        classes: How many classes it tells apart.
        encoding: The mean and standard deviation that were given for its inputs.

    """

    network: str
    precision: str
    classes: int
    encoding: Encoding = ((), ())

    def unlike(self, other: Form) -> str:
        """Say in words in what this form, here, differs from another, there."""
        spelt = {
            "the network": (self.network, other.network),
            "the precision": (self.precision, other.precision),
            "the number of classes": (str(self.classes), str(other.classes)),
            "how inputs enter": (_entering(self.encoding), _entering(other.encoding)),
        }
        return "; ".join(
            f"{what} is {here[:200]} here and {there[:200]} there"
            for what, (here, there) in spelt.items()
            if here != there
        )


def _entering(encoding: Encoding) -> str:
    """Spell an encoding as it is asked for."""
    if not any(encoding):
        return f"as the network's library says (no {option('mean')}, no {option('std')})"
    mean, std = (",".join(f"{value:g}" for value in part) for part in encoding)
    return f"by {option('mean', mean or '0')} {option('std', std or '1')}"


@dataclass(frozen=True)
class ScannerScores:
    """What one scanner said of every clean network.

    Attributes:
        name: The scanner.
        config: Its settings as strict JSON holds them; other settings give other scores.
        rows: float64[m][c], [m][c (c - 1)] where the scanner scores pairs of classes, or [m][1]
            where it scores the whole network.

    """

    name: str
    config: Mapping[str, Any]
    rows: list[list[float]]


@dataclass(frozen=True)
class Population:
    """Scores of clean networks, and all that a model must share with them to be compared.

    Attributes:
        form: How the networks are built, deployed and fed.
        trusted: SHA-256 of the examples that the scanners saw.
        trusted_origin: Where these examples came from, in words.
        seed: Of the scanners' random draws.
        scores: One entry for each scanner.
        vitals: What each of the networks does with the trusted examples, none in older files.
        where: The file, for messages; "" before it was saved.

    """

    form: Form
    trusted: str
    trusted_origin: str
    seed: int
    scores: tuple[ScannerScores, ...]
    vitals: tuple[Vitals, ...] = ()
    where: str = field(default="", compare=False)

    @classmethod
    def of(
        cls, scan: ModelScan, scanners: Sequence[Scanner], form: Form, shown: Dataset,
        trusted_origin: str, seed: int,
    ) -> Population:  # fmt: skip
        """Take from a scan what is known of its references.

        Args:
            scan: Of any model of this form.
            scanners: Those that scanned it.
            form: How it is built, deployed and fed.
            shown: The trusted examples that the scanners saw.
            trusted_origin: Where these examples came from, in words.
            seed: Of the scanners' random draws.

        """
        every = {**scan.scores, **scan.pairs}
        scores = [
            ScannerScores(each.name(), plain(each.config()), rows[1:].tolist())
            for each in scanners
            if (rows := every.get(each.name())) is not None
        ]
        vitals = scan.membership.others if scan.membership is not None else ()
        return cls(form, fingerprint(shown), trusted_origin, seed, tuple(scores), vitals)

    def save(self, path: Path) -> None:
        """Write the population as JSON, whole or not at all."""
        kept = {"schema": SCHEMA, **asdict(self)}
        kept.pop("where")
        write_json(path, kept)

    @classmethod
    def load(cls, where: str) -> Population:
        """Read a population.

        Args:
            where: A file that `save` wrote, the report.json of an earlier scan of a model, or the
                name of a population that comes with the library.

        Raises:
            DataError: There is no such file, or it holds something else.

        """
        kept = _read(where)
        try:
            return _population(kept, where)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError(
                f"{where!r}: expected the population.json or report.json of `mithridate scan "
                "model`, found other JSON; name a file that it wrote"
            ) from None

    def seen(self, several: Sequence[Dataset], seed: int) -> Dataset:
        """Give the trusted examples, of several choices, that the scanners saw.

        Scores are compared between models only where the same examples and draws were used.

        Raises:
            DataError: None of the choices are those examples, or the seed was another.

        """
        same = [data for data in several if fingerprint(data) == self.trusted]
        if not same or self.seed != seed:
            flags = ", ".join(option(name) for name in ("data", "split", "count", "apart", "seed"))
            raise DataError(
                f"{self.where!r}: the clean networks in it were scanned with other trusted "
                f"examples (of {self.trusted_origin[:200]!r}) or another seed, so their scores do "
                f"not compare; give the same {flags}, or let references be trained"
            )
        return same[0]

    def known(self, scanners: Sequence[Scanner], form: Form) -> dict[str, Floats]:
        """Give the scores by scanner, rows of m; a scanner with other settings is left out.

        Args:
            scanners: Those that scan the model.
            form: How the model is built, deployed and fed.

        Raises:
            DataError: The networks are of another form.

        """
        if self.form != form:
            raise DataError(
                f"{self.where!r}: its clean networks are not like the model: "
                f"{form.unlike(self.form)}; scan with others, or let references be trained"
            )
        settings = {s.name(): json.loads(json.dumps(plain(s.config()))) for s in scanners}
        now = {name: s.name() for s in scanners for name in s.names()}  # files hold earlier names
        widths = {s.name(): _width(s, form.classes) for s in scanners}
        return {
            now[each.name]: np.asarray(each.rows, dtype=np.float64)
            for each in self.scores
            if each.name in now
            and settings[now[each.name]] == {**each.config, "method": now[each.name]}
            and len(each.rows[0]) == widths[now[each.name]]
        }


def _width(scanner: Scanner, classes: int) -> int:
    """How many scores a scanner gives a network."""
    if scanner.pairwise:
        return classes * (classes - 1)
    return classes if scanner.unit == "class" else 1


def _read(where: str) -> dict[str, Any]:
    """Read the JSON of a file, or of a population that comes with the library."""
    path = Path(where)
    shipped = resources.files("mithridate.pipelines") / "populations" / f"{path.name}.json"
    try:
        if not path.is_file() and path.name == where and shipped.is_file():
            return dict(json.loads(shipped.read_text("utf-8")))
        if path.is_file() and path.stat().st_size <= LARGEST:
            return dict(json.loads(path.read_text("utf-8")))
        met = "no such file, or one that is too large"
    except (ValueError, TypeError, RecursionError):
        met = "no JSON object"
    raise DataError(
        f"{where!r}: expected the population.json or report.json of `mithridate scan model`, "
        f"found {met}"
    )


def _population(kept: dict[str, Any], where: str) -> Population:
    """Take a population from what was read; a file from outside may say anything."""
    if kept["schema"] == REPORT:
        return _of_report(kept, where)
    if kept["schema"] != SCHEMA:
        raise ValueError(kept["schema"])
    form = kept["form"]
    return Population(
        _form(form["network"], form["precision"], int(form["classes"]), form["encoding"]),
        str(kept["trusted"]), str(kept["trusted_origin"]), int(kept["seed"]),
        _scores(kept["scores"], int(form["classes"]), where),
        _vitals(kept.get("vitals", [])), where,
    )  # fmt: skip


def _of_report(kept: dict[str, Any], where: str) -> Population:
    """Take a population from the report of a scan."""
    model, classes = kept["model"], len(list(kept["classes"]))
    trusted = kept.get("trusted") or {}
    encoding = model.get("encoding") or ((), ())
    return Population(
        _form(model["network"], model["precision"], classes, encoding),
        str(trusted.get("sha256")), str(trusted.get("origin")), int(kept.get("seed", 0)),
        _scores(_respelt(kept["scanners"]), classes, where),
        _vitals((kept.get("membership") or {}).get("others", [])), where,
    )  # fmt: skip


def _vitals(rows: Any) -> tuple[Vitals, ...]:
    """Take what the networks do with trusted examples; what is not finite counts as unknown."""
    return tuple({str(name): float(value) for name, value in row.items()} for row in rows)


def _respelt(entries: Any) -> list[dict[str, Any]]:
    """Give scanners the settings by the names that they have now, and their rows one name."""
    return [
        {
            **each,
            "config": {RENAMED.get(name, name): v for name, v in each["config"].items()},
            "rows": each.get("pairs") or each["references"],
        }
        for each in entries
    ]


def _form(network: object, precision: object, classes: int, encoding: Any) -> Form:
    mean, std = (tuple(map(float, part)) for part in encoding)
    return Form(str(network), str(precision), classes, (mean, std))


def _scores(entries: Any, classes: int, where: str) -> tuple[ScannerScores, ...]:
    """Take the scores of every scanner that could judge the networks."""
    return tuple(
        ScannerScores(str(each["name"]), dict(each["config"]), _rows(each["rows"], classes, where))
        for each in entries
        if each["rows"]
    )


def _rows(rows: Any, classes: int, where: str) -> list[list[float]]:
    try:
        scores = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError):
        scores = np.zeros(0)
    widths = (1, classes, classes * (classes - 1))
    if scores.ndim != 2 or scores.shape[1] not in widths or not np.isfinite(scores).all():
        raise DataError(
            f"{where!r}: expected finite scores of every reference and class, or pair, found "
            f"shape {list(scores.shape)}"
        )
    return list(scores.tolist())
