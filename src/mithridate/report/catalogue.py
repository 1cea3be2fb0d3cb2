"""The page of methods, written from the methods themselves.

`python -m mithridate.report.catalogue --write` renews docs/methods.md, `--check` fails where the
page is out of date.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from mithridate.attacks.named import named_attack
from mithridate.core.docstrings import parsed
from mithridate.core.errors import DataError
from mithridate.core.method import Method
from mithridate.core.registry import (
    comes_with_us,
    domain_of,
    find,
    find_attacks,
    kinds,
    reference,
)

PAGE = Path("docs/methods.md")

HEAD = """# Methods

Written by `make docs` from the methods themselves: change their docstrings and fields, not this
page. A method is a frozen dataclass: its fields are its settings here, in Python and on the
command line. Defaults are those of the paper unless the method gives a reason. A method is found by
each of its names, on the command line and by `mithridate.core.registry.get`.
"""

ATTACKS = """## Attacks of the literature

A trigger, a goal and a selection under the name that the field gives them, with the numbers of the
paper: `mithridate poison DATA --out OUT --attack NAME` where the attacker holds data only, and
`mithridate.attacks.named.named_attack("NAME")` in Python.
"""


def page() -> str:
    """Write the whole page as Markdown."""
    sections = [line for kind in kinds() for line in section(kind)]
    return "\n".join([HEAD, *named_attacks(), *sections])


def named_attacks() -> Iterator[str]:
    """Write the attacks of the literature, ours only."""
    yield ATTACKS
    yield "| name | also | data | in the attacker's hand | what it does | source |"
    yield "|---|---|---|---|---|---|"
    for attack in find_attacks().values():
        made = named_attack(attack.name)
        also = ", ".join(f"`{name}`" for name in attack.known_as)
        cells = (
            f"`{attack.name}`", also, domain_of(attack), made.controls, attack.summary,
            source(*reference(attack)),
        )  # fmt: skip
        yield f"| {' | '.join(escape_cell(cell) for cell in cells)} |"
    yield ""


def section(kind: type[Method]) -> Iterator[str]:
    """Write one kind: a table of its methods, then each with its settings."""
    methods = {name: m for name, m in find(kind).items() if comes_with_us(m)}
    if not methods:
        return
    yield f"## {kind.kind.capitalize()}\n"
    yield f"{kind.summary()}\n"
    yield "| name | also | what it does | source |"
    yield "|---|---|---|---|"
    for name, method in methods.items():
        also = ", ".join(f"`{other}`" for other in method.aliases())
        cells = (
            f"[`{name}`](#{name})", also, method.summary(), source(method.paper, method.links),
        )  # fmt: skip
        yield f"| {' | '.join(escape_cell(cell) for cell in cells)} |"
    yield ""
    for name, method in methods.items():
        yield from entry(name, method)


def source(paper: str, links: Sequence[str]) -> str:
    """Write a paper with its links, as arXiv:1811.03728 or by the host."""
    named = [f"[{identifier(link)}]({link})" for link in links]
    return " ".join(filter(None, (paper or "-", ", ".join(named))))


def identifier(link: str) -> str:
    """Shorten a URL to what people know it by."""
    place = link.removeprefix("https://")
    for start, short in (("arxiv.org/abs/", "arXiv:"), ("doi.org/", "doi:")):
        if place.startswith(start):
            return short + place.removeprefix(start)
    return place.partition("/")[0]


def entry(name: str, method: type[Method]) -> Iterator[str]:
    """Write one method: what it computes and assumes, and its settings with meaning and default."""
    yield f"### {name}\n"
    about = parsed(method.__doc__ or "")
    yield f"{plain_text(about.summary)}\n"
    yield f"`{method.__module__}.{method.__qualname__}`\n"
    if about.prose:
        yield f"{prose(about.prose)}\n"
    assumes = getattr(method, "assumes", "")
    if assumes:
        yield f"Assumes that {assumes}.\n"
    fields = dataclasses.fields(cast(Any, method))
    if not fields:
        yield "No settings.\n"
        return
    yield "| setting | meaning | type | default |"
    yield "|---|---|---|---|"
    types, meanings = typing.get_type_hints(method), meanings_of(method)
    for field in fields:
        cells = (
            f"`{field.name}`", plain_text(meanings.get(field.name, "")),
            f"`{spell_type(types[field.name])}`", f"`{default(field)}`",
        )  # fmt: skip
        yield f"| {' | '.join(escape_cell(cell) for cell in cells)} |"
    yield ""


def meanings_of(method: type[Method]) -> dict[str, str]:
    """What the docstrings of a method, and of the classes that it extends, say of its settings."""
    meanings: dict[str, str] = {}
    for base in reversed(method.__mro__):
        if issubclass(base, Method):
            meanings |= parsed(base.__doc__ or "").meanings
    return meanings


def prose(text: str) -> str:
    """Write running text for Markdown: lines that are set in are formulas and stay as they are.

    Those that go on with an item of a numbered list are set in by three spaces.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        formula = line.startswith("  ") and len(line) - len(line.lstrip()) != len("1. ")
        if formula and lines and lines[-1] and not lines[-1].startswith("    "):
            lines.append("")
        lines.append(f"    {line.strip()}" if formula else plain_text(line))
    return "\n".join(lines)


def plain_text(text: str) -> str:
    """Keep the signs of a formula from being taken for Markdown, those in `code` left alone."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([*_<\[\]#])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts)


def spell_type(annotation: Any) -> str:
    """Spell a type as short as it can be read, e.g. `float`, `Trigger or None`."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return annotation.__name__
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(repr(value) for value in arguments)
    text = str(annotation).replace("typing.", "").replace(" | ", " or ")
    for part in arguments:
        if isinstance(part, type):
            text = text.replace(f"{part.__module__}.{part.__qualname__}", part.__name__)
    return text


def default(field: dataclasses.Field[Any]) -> str:
    """Spell the default of a field, or say that there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return repr(field.default_factory())
    return "required" if field.default is dataclasses.MISSING else repr(field.default)


def escape_cell(cell: str) -> str:
    """Keep a cell of a table in its cell."""
    return cell.replace("|", "\\|").replace("\n", " ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, or check that it is up to date; the exit status is 1 where it is not."""
    parser = argparse.ArgumentParser(description="Write or check the page of methods.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="renew the page")
    action.add_argument("--check", action="store_true", help="fail where it is out of date")
    given = parser.parse_args(arguments)
    if not PAGE.parent.is_dir():
        raise DataError(f"expected the folder {PAGE.parent}/ here: run this in the repository")
    if given.write:
        PAGE.write_text(page(), "utf-8")
        return 0
    if not PAGE.exists() or PAGE.read_text("utf-8") != page():
        sys.stderr.write(f"{PAGE} is out of date: run `make docs` and commit it\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
