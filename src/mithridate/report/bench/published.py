"""Figures that others published, to stand beside ours and never to be mixed with them."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from mithridate.core.errors import DataError
from mithridate.report.bench.aggregate import Row

ATTACKS = {
    "badnet": "badnet", "badnets": "badnet", "blend": "blended", "blended": "blended",
    "sig": "sig", "lf": "lf", "lowfrequency": "lf", "wanet": "wanet", "labelconsistent": "lc",
    "ssba": "ssba", "samplespecific": "ssba", "inputaware": "inputaware", "bpp": "bpp",
    "trojannn": "trojannn", "blind": "blind", "lira": "lira",
}  # fmt: skip
DEFENCES = {
    "none": "no defense", "ac": "ac", "activationclustering": "ac", "ss": "spectral",
    "spectral": "spectral", "spectralsignatures": "spectral", "finetuning": "ft",
    "finepruning": "fp", "neuralattentiondistillation": "nad",
    "adversarialneuronpruning": "anp", "channellipschitzpruning": "clp", "ibau": "i-bau",
    "batchnormpruning": "mbns", "antibackdoorlearning": "abl",
}  # fmt: skip
"""Our names, letters and digits only, and those of the published table."""


class Published(NamedTuple):
    """One published run: shares in 0..1, not a number where it was not given."""

    accuracy: float
    asr: float
    r_accuracy: float


class Publications:
    """A table of published figures with a comment on where they come from.

    Args:
        path: a CSV file with the columns dataset, backbone, attack, defense, ratio, ca, asr, ra in
            percent, its first lines comments that begin with "#"; None takes the table that is
            shipped.

    Raises:
        DataError: where it cannot be read.
    """

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            shipped = resources.files("mithridate.report.bench") / "published.csv"
            text = shipped.read_text("utf-8")
        else:
            text = path.read_text("utf-8")
        lines = text.splitlines()
        self.origin = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
        self.runs: dict[tuple[str, str, str, float], Published] = {}
        self.backbones: set[str] = set()
        try:
            self._read(csv.DictReader(line for line in lines if not line.startswith("#")))
        except (KeyError, ValueError) as error:
            raise DataError(
                f"published figures in {path or 'the shipped table'} cannot be read ({error!r}); "
                "expected the columns dataset, backbone, attack, defense, ratio, ca, asr, ra"
            ) from None

    def _read(self, lines: Iterable[dict[str, str]]) -> None:
        for line in lines:
            if line["backbone"] != "preactresnet18" or not line["asr"]:
                continue
            place = (_bare(line["dataset"]), line["attack"], line["defense"], float(line["ratio"]))
            self.runs[place] = Published(*(_share(line[name]) for name in ("ca", "asr", "ra")))

    def beside(self, row: Row) -> Published | None:
        """Give the run that can stand beside a row: same data set, attack, rate and defence."""
        settings = row.records[0].settings
        task, defence = settings.get("task"), settings.get("defence")
        data = task.get("data", "") if isinstance(task, dict) else ""
        method = defence.get("method", "") if isinstance(defence, dict) else ""
        attack = ATTACKS.get(_bare(str(row.cell["attack"])))
        names = (DEFENCES.get(_bare(str(name))) for name in (row.cell["defence"], method))
        known = next(filter(None, names), None)
        if attack is None or known is None or row.cell["tuning"] != "default" or row.neighbour:
            return None
        return self.runs.get((_bare(Path(str(data)).name), attack, known, row.rate))


def _bare(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _share(percent: str) -> float:
    return float(percent) / 100 if percent else math.nan
