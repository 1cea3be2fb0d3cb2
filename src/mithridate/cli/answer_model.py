"""What `mithridate scan model` writes and says at the end."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from mithridate.cli.terminal import command_line, say
from mithridate.pipelines.deployment import ARITHMETIC, Placed
from mithridate.report.model_page import ModelWork, write_model_report
from mithridate.report.quoting import visible


def answer(work: ModelWork, out: Path, seed: int) -> None:
    """Write the report, then say what was found and where it is."""
    write_model_report(work, out, command=command_line(), seed=seed)
    found = work.scan
    say(f"Verdict: {visible(str(found.verdict))}")
    if found.verdict.p_value is not None:
        finest = f"the smallest possible is {found.verdict.finest_p:.3g}"
        say(f"p = {found.verdict.p_value:.3g}; {finest}")
    if found.by_class is not None and found.verdict.answer == "flagged":
        order = found.by_class.argsort(kind="stable")[:3]
        for k in order:
            say(f"- class {visible(found.classes[k])}: p = {found.by_class[k]:.3g}")
    for name, why in found.unheard.items():
        say(f"- {name} could not judge: {visible(why)}")
    say(f"The report: {out / 'report.html'}")


def agreement(place: Placed, precision: str) -> dict[str, float]:
    """How often artefact and twin give the same class; nothing where they are one."""
    if place.twin is None or place.trusted is None or precision in ARITHMETIC:
        return {}
    both = [
        replace(place, model=model).called(place.trusted).labels
        for model in (place.model, place.twin)
    ]
    return {"argmax": float((both[0] == both[1]).double().mean())}


def digest(file: Path) -> str:
    """SHA-256 of the file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
