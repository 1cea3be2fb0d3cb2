"""What docstrings say about fields and parameters, in the form that the ecosystem's tools render.

Attributes:
        level: Of the test.
        row, column: Of the top left pixel, negative from the end.

An older form is read as well, a list in running text: "level: of the test; fdr: the share of ...".

"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Example|Examples|Note|Notes):\s*$")
ENTRY = re.compile(r"^ {4}\*{0,2}([A-Za-z_]\w*(?:, \w+)*)(?: \([^)]*\))?:(?: (.*))?$")
NAMES = r"([a-z_]+(?:, [a-z_]+)*): "
RUNNING = re.compile(rf"(?:^|(?<=[.;] )){NAMES}(.*?)(?:; (?={NAMES})|\. (?=[A-Z])|\.$|$)")


@dataclass(frozen=True)
class Documented:
    """A docstring, taken apart.

    Attributes:
        summary: Its first line.
        prose: The rest without the sections, paragraphs and indented lines kept.
        meanings: What it says of each field or parameter, a sentence each.

    """

    summary: str
    prose: str
    meanings: dict[str, str] = field(default_factory=dict)


def parsed(docstring: str) -> Documented:
    """Take a docstring apart."""
    summary, _, rest = inspect.cleandoc(docstring).partition("\n")
    plain: list[str] = []
    sections: dict[str, list[str]] = {}
    now: list[str] = plain
    for line in rest.split("\n"):
        if heading := SECTION.match(line):
            now = sections.setdefault(heading[1], [])
        elif line and not line.startswith(" ") and now is not plain:
            now = plain
            plain.append(line)
        else:
            now.append(line)
    meanings = _entries([*sections.get("Args", ()), *sections.get("Attributes", ())])
    prose = "\n".join(plain).strip("\n")
    if not meanings:
        return Documented(summary, *_running(prose))
    return Documented(summary, prose, meanings)


def _entries(lines: list[str]) -> dict[str, str]:
    """Read the entries of a section: `    name: text`, going on in lines that are indented more."""
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in lines:
        if start := ENTRY.match(line):
            names = start[1].split(", ")
            meanings |= dict.fromkeys(names, (start[2] or "").strip())
        elif line.strip():
            meanings |= {name: f"{meanings[name]} {line.strip()}".strip() for name in names}
    return {name: _capitalised(said) for name, said in meanings.items()}


def _running(prose: str) -> tuple[str, dict[str, str]]:
    """Read a list in running text, and give the text without it."""
    meanings: dict[str, str] = {}
    kept = []
    for paragraph in re.split(r"\n\s*\n", prose):
        line = " ".join(paragraph.split())
        entries = list(RUNNING.finditer(line))
        for entry in entries:
            meanings |= dict.fromkeys(entry[1].split(", "), _capitalised(entry[2]))
        kept.append(" ".join(RUNNING.sub(" ", line).split()) if entries else paragraph)
    return "\n\n".join(part for part in kept if part.strip()), meanings


def _capitalised(said: str) -> str:
    said = said.strip()
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "?", "!")) else ".")
