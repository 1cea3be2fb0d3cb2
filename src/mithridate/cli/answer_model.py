"""What `mithridate scan model` writes and says at the end."""

from __future__ import annotations

from pathlib import Path

from mithridate.cli import status
from mithridate.cli.terminal import command_line, say
from mithridate.core.fingerprint import sha256_of
from mithridate.pipelines.deployment import agreeing
from mithridate.pipelines.population import Form, Population
from mithridate.pipelines.ready_model_scan import ReadyModelScan
from mithridate.pipelines.suspect_file import Suspect, SuspectFile
from mithridate.report.model_page import (
    ModelWork,
    ScannedFile,
    TrustedExamples,
    write_model_report,
)
from mithridate.report.quoting import spell_invisible
from mithridate.stats.intervals import Interval


def described(model: SuspectFile, suspect: Suspect, accuracy: Interval | None) -> ScannedFile:
    """Describe the file in the report."""
    return ScannedFile(
        str(model.path), sha256_of(model.path), suspect.network, suspect.precision,
        agreeing(suspect.placed), model.doubts, model.how.encoding, accuracy,
    )  # fmt: skip


def unscanned(job: ReadyModelScan, file: ScannedFile, trusted: TrustedExamples, out: Path) -> int:
    """Write a report that says why the model was not scanned; gives the exit status."""
    origin = "none, since the model cannot be judged as it is read"
    work = ModelWork(job.scanned(), job.how.scanner.scanners, file, trusted, origin)
    answer(work, job.suspect.form, out, job.how.seed)
    return status.CANNOT_JUDGE


def answer(work: ModelWork, form: Form, out: Path, seed: int) -> None:
    """Write the report, then say what was found and where it is."""
    write_model_report(work, out, command=command_line(), seed=seed)
    scan, trusted = work.scan, work.trusted
    if scan.scores:
        kept = Population.of(scan, work.scanners, form, trusted.shown, trusted.origin, seed)
        kept.save(out / "population.json")
    say(f"Verdict: {spell_invisible(str(scan.verdict))}")
    if scan.verdict.p_value is not None:
        finest = f"the smallest possible is {scan.verdict.finest_p:.3g}"
        say(f"p = {scan.verdict.p_value:.3g}; {finest}")
    if scan.by_class is not None and scan.verdict.answer == "flagged":
        for k in scan.by_class.argsort(kind="stable")[:3]:
            say(f"- class {spell_invisible(scan.classes[k])}: p = {scan.by_class[k]:.3g}")
    if scan.among is not None and scan.among.beyond > 0:
        say(
            f"It lies {scan.among.beyond:.2g} spreads of the references beyond every one of them; "
            f"if tails go on as a power law, p = {scan.among.tail_p:.2g}"
        )
    for name, why in scan.unheard.items():
        say(f"- {name} could not judge: {spell_invisible(why)}")
    say(f"The report: {out / 'report.html'}")
