"""What an inspection of a file found, and what it could not look at."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Severity = Literal["danger", "warning", "unknown", "note"]

SEVERITIES: tuple[Severity, ...] = ("danger", "warning", "unknown", "note")
"""From the worst to the least: code, bombs and lies; broken or odd; not looked at; good to know."""

KEPT = 50
"""Findings of one severity that are kept one by one; more are counted, so none hides another."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: of `SEVERITIES`.
        what: was found.
        where: in the file.
        todo: what to do about it.
        harmless: whether a warning is of something odd that harms nobody, which flags no file.
    """

    severity: Severity
    what: str
    where: str = ""
    todo: str = ""
    harmless: bool = False


@dataclass(frozen=True)
class FileLimits:
    """How much of a file is looked at, so that memory and time stay bounded.

    Attributes:
        members: of an archive.
        directory: bytes of an archive's list of members.
        pickle: bytes of a pickle's program, of JSON, and of a header.
        words: bytes of a pickle's program, of JSON, and of a header.
        header: bytes of a pickle's program, of JSON, and of a header.
        opcodes: of all pickles in a file.
        depth: of their nesting.
        ratio: how much larger an archive may unpack, where it is more than slack bytes.
        graph: bytes of an ONNX file.
        memory: of a process that looks at risky formats.
        seconds: of a process that looks at risky formats.
    """

    members: int = 65_536
    directory: int = 16 << 20
    pickle: int = 64 << 20
    words: int = 32 << 20
    header: int = 16 << 20
    opcodes: int = 2_000_000
    depth: int = 200
    ratio: int = 100
    slack: int = 64 << 20
    graph: int = 1 << 30
    memory: int = 4 << 30
    seconds: int = 120


@dataclass
class Log:
    """Findings as they come in.

    Attributes:
        opcodes: read so far.
        cut: whether a pickle was not read to its end.
        excused: names that stand in one of its pickles for what runs nothing.
        bomb: whether an archive is not worth unpacking.
    """

    limits: FileLimits = FileLimits()
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    opcodes: int = 0
    cut: bool = False
    bomb: bool = False
    excused: set[str] = field(default_factory=set)

    def add(
        self, severity: Severity, what: str, where: str = "", todo: str = "",
        harmless: bool = False,
    ) -> None:  # fmt: skip
        """Keep a finding once, or count it where there are many of its kind."""
        finding = Finding(severity, _short(what), _short(where), todo, harmless)
        if self.counts[severity] < KEPT and finding in self.findings:
            return
        self.counts[severity] += 1
        if self.counts[severity] <= KEPT:
            self.findings.append(finding)

    def danger(self, what: str, where: str = "", todo: str = "do not open it") -> None:
        """Something that could harm whoever opens the file."""
        self.add("danger", what, where, todo)

    def warning(self, what: str, where: str = "", todo: str = "get the file again") -> None:
        """Something that is broken or odd."""
        self.add("warning", what, where, todo)

    def oddity(self, what: str, where: str, todo: str) -> None:
        """Something that is odd and harms nobody: a warning that flags no file."""
        self.add("warning", what, where, todo, harmless=True)

    def unknown(self, what: str, where: str = "", todo: str = "") -> None:
        """Something that could not be looked at."""
        self.add("unknown", what, where, todo)

    def note(self, what: str, where: str = "") -> None:
        """Something that is good to know."""
        self.add("note", what, where)

    def ended(self) -> tuple[Finding, ...]:
        """All findings, the worst first, with a line for those that were only counted."""
        more = [
            Finding(severity, f"{self.counts[severity] - KEPT} more of this kind were found")
            for severity in SEVERITIES
            if self.counts[severity] > KEPT
        ]
        return tuple(sorted([*self.findings, *more], key=lambda f: SEVERITIES.index(f.severity)))


def _short(words: str, limit: int = 300) -> str:
    """Cut what a file says at length."""
    return words if len(words) <= limit else f"{words[: limit - 1]}…"


@dataclass(frozen=True)
class FileReport:
    """What is known of a file without opening it.

    Attributes:
        path: as it was given.
        format: that its bytes have.
        size: in bytes.
        findings: the worst first.
        cut: whether a pickle in it was not read to its end.
    """

    path: str
    format: str
    size: int
    findings: tuple[Finding, ...]
    cut: bool = False

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(finding for finding in self.findings if finding.severity == severity)

    @property
    def unseen(self) -> tuple[str, ...]:
        """What could not be looked at."""
        return tuple(finding.what for finding in self.of("unknown"))

    @property
    def answer(self) -> str:
        """Say "flagged" for a danger or what is broken, "cannot judge" for the unseen, or "clean".

        A warning of something that harms nobody changes nothing.
        """
        if self.of("danger") or any(not warning.harmless for warning in self.of("warning")):
            return "flagged"
        return "cannot judge" if self.of("unknown") else "clean"

    def record(self) -> dict[str, Any]:
        """Give the report as plain values for JSON."""
        return {
            "schema": 1, "path": self.path, "format": self.format, "size": self.size,
            "answer": self.answer, "findings": [asdict(finding) for finding in self.findings],
        }  # fmt: skip
