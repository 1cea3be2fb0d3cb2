"""The work of `mithridate scan file`: look, say what was found, and write it down."""

from __future__ import annotations

from json import dumps
from pathlib import Path

from mithridate.artifacts.findings import FileReport
from mithridate.artifacts.inspect import inspect_file
from mithridate.cli import status
from mithridate.cli.terminal import grid, say, show
from mithridate.core.errors import DataError
from mithridate.report.quoting import shorten, spell_invisible

LIMITS = (
    "This looks at the file, not at what the network does: a backdoor in its weights is not seen."
)


def run(*, path: str, json: Path | None, code: bool, values: bool) -> int:
    """Scan a model file and say what was found; gives the exit status."""
    out = json
    if out is not None and (out.is_dir() or not out.parent.is_dir()):
        raise DataError(f"{str(out)!r}: expected a file in a folder that exists, for --json")
    if out is not None and out.exists() and out.resolve() == Path(path).resolve():
        raise DataError(f"{str(out)!r} is the file to scan; choose another for --json")
    report = inspect_file(path, code=code, values=values)
    told(report)
    if out is not None:
        # JSON escapes control characters and, by default, all that is not ASCII
        out.write_text(dumps(report.record(), indent=1) + "\n", "ascii")
        say(f"\nwrote {spell_invisible(str(out))}")
    return status.OF[report.answer]


def told(report: FileReport) -> None:
    """Print a report."""
    say(f"{shorten(spell_invisible(report.path), 120)}: {report.format}, {report.size:,} bytes")
    told_beside = report.answer == "clean" and len(report.of("warning"))
    say(f"Verdict: {report.answer.upper()}{', with warnings' if told_beside else ''}")
    if report.findings:
        table = grid("severity", "found", "where", "what to do")
        for finding in report.findings:
            table.add_row(
                finding.severity,
                spell_invisible(finding.what),
                shorten(spell_invisible(finding.where), 60) or "-",
                spell_invisible(finding.todo) or "-",
            )
        show(table)
    if report.unseen:
        say("What could not be looked at:")
        for words in report.unseen:
            say(f"- {spell_invisible(words)}")
    say(LIMITS)
