"""The page of methods, written from the methods themselves.

`python -m mithridate.report.catalogue --write` renews docs/methods.md, `--check` fails where the
page is out of date.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from mithridate.core.errors import DataError
from mithridate.core.method import Method
from mithridate.core.registry import comes_with_us, find, kinds

PAGE = Path("docs/methods.md")

HEAD = """# Methods

Written by `make docs` from the methods themselves: change their docstrings and fields, not this
page. A method is a frozen dataclass: its fields are its settings here, in Python and on the
command line. Defaults are those of the paper unless the method gives a reason.
"""


def page() -> str:
    """Write the whole page as Markdown."""
    return "\n".join([HEAD, *(line for kind in kinds() for line in section(kind))])


def section(kind: type[Method]) -> Iterator[str]:
    """Write one kind: a table of its methods, then each with its settings."""
    methods = {name: m for name, m in find(kind).items() if comes_with_us(m)}
    if not methods:
        return
    yield f"## {kind.kind.capitalize()}\n"
    yield f"{kind.summary()}\n"
    yield "| name | what it does | source |"
    yield "|---|---|---|"
    for name, method in methods.items():
        cells = (f"[`{name}`](#{name})", method.summary(), method.paper or "-")
        yield f"| {' | '.join(escape_cell(cell) for cell in cells)} |"
    yield ""
    for name, method in methods.items():
        yield from entry(name, method)


def entry(name: str, method: type[Method]) -> Iterator[str]:
    """Write one method: what it assumes, and its settings with type and default."""
    yield f"### {name}\n"
    yield f"`{method.__module__}.{method.__qualname__}`\n"
    assumes = getattr(method, "assumes", "")
    if assumes:
        yield f"Assumes that {assumes}.\n"
    fields = dataclasses.fields(cast(Any, method))
    if not fields:
        yield "No settings.\n"
        return
    yield "| setting | type | default |"
    yield "|---|---|---|"
    types = typing.get_type_hints(method)
    for field in fields:
        cells = (f"`{field.name}`", f"`{spell_type(types[field.name])}`", f"`{default(field)}`")
        yield f"| {' | '.join(escape_cell(cell) for cell in cells)} |"
    yield ""


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
