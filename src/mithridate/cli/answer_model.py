"""What `mithridate scan model` writes and says at the end."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from mithridate.cli.terminal import command_line, say
from mithridate.pipelines.deployment import ARITHMETIC, Placed
from mithridate.report.model_page import ModelWork, write_model_report
from mithridate.report.quoting import spell_invisible


def answer(work: ModelWork, out: Path, seed: int) -> None:
    """Write the report, then say what was found and where it is."""
    write_model_report(work, out, command=command_line(), seed=seed)
    result = work.scan
    say(f"Verdict: {spell_invisible(str(result.verdict))}")
    if result.verdict.p_value is not None:
        finest = f"the smallest possible is {result.verdict.finest_p:.3g}"
        say(f"p = {result.verdict.p_value:.3g}; {finest}")
    if result.by_class is not None and result.verdict.answer == "flagged":
        order = result.by_class.argsort(kind="stable")[:3]
        for k in order:
            say(f"- class {spell_invisible(result.classes[k])}: p = {result.by_class[k]:.3g}")
    for name, why in result.unheard.items():
        say(f"- {name} could not judge: {spell_invisible(why)}")
    say(f"The report: {out / 'report.html'}")


def agreement(place: Placed, precision: str) -> dict[str, float]:
    """How often artefact and twin give the same class; nothing where they are one."""
    if place.twin is None or place.trusted is None or precision in ARITHMETIC:
        return {}
    both = [
        replace(place, model=model).predicted(place.trusted).labels
        for model in (place.model, place.twin)
    ]
    return {"argmax": float((both[0] == both[1]).double().mean())}


def digest(file: Path) -> str:
    """SHA-256 of the file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
