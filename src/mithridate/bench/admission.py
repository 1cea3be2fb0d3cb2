"""Which defences may take part: none that is told, or reaches for, what only the attacker knows."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

from mithridate.bench.digest import PACKAGE, imported_by, parse, source_file
from mithridate.bench.step import NotDone
from mithridate.core.method import Method

SECRETS = frozenset({
    "poison_rate", "poisoning_rate", "rate_poisoned", "n_poison", "target", "target_label",
    "target_class", "source_class", "trigger", "attack", "truth", "poisoned",
})  # fmt: skip
"""Names of settings that only an attacker could fill in."""

CLOSED = ("mithridate.attacks", "mithridate.bench")
"""Packages that hold the truth or the attacker."""

REACHING = frozenset({
    "Truth", "_getframe", "get_objects", "get_referrers", "currentframe", "gc", "inspect",
})  # fmt: skip
"""Names by which the truth could be found in memory."""


def admit(defence: Method) -> None:
    """Refuse a defence that peeks; raises NotDone, "skipped", with the reason and what to do.

    A setting may not be named after a secret, and neither the file of a defence nor any that it
    imports may reach for the truth, the attackers or the referee; the same holds for methods among
    its settings. Python cannot lock its memory: what reaches for the truth by other ways is found
    by reading, as these are.
    """
    for part in _methods(defence):
        names = {f.name for f in dataclasses.fields(cast(Any, part))}
        secrets = sorted(names & SECRETS)
        if secrets:
            raise NotDone(
                "skipped",
                f"refused: {part.name()} asks for {secrets[0]!r}, which only an attacker knows; "
                "rename or drop the setting",
            )
        reached = "" if type(part).__module__.startswith(CLOSED) else _reach(type(part))
        if reached:
            raise NotDone(
                "skipped",
                f"refused: {part.name()} imports {reached}; put the defence into a file of its "
                "own that imports neither the truth nor attackers nor the referee, nor anything "
                "that does",
            )


def _reach(kind: type) -> str:
    """What a class can reach that it may not, and the file that imports it where another does."""
    own = source_file(kind)
    files = [own] if own else []
    for file in files:  # grows while it is read: what is imported from near comes first
        named = [] if PACKAGE / "core" in file.parents else _reasons(file)
        for name in named:
            return name if file == own else f"{name} through {file.name}"
        files += sorted(imported_by(file) - {*files})
    return ""


def _reasons(file: Path) -> list[str]:
    """What a file reaches for, by what it names or by what a package gives when it is asked for.

    `core` holds the truth; what others import of it is seen where they do.
    """
    named = _known(file) if PACKAGE in file.parents else _find_reaches(file)
    return named or sorted(filter(None, map(_closed_module, imported_by(file))))


def _closed_module(file: Path) -> str:
    """The name of a module of a closed package, "" for any other file."""
    if not {PACKAGE / name.rpartition(".")[2] for name in CLOSED} & {*file.parents}:
        return ""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _methods(value: Any) -> Iterator[Method]:
    """A method and the methods inside it."""
    if isinstance(value, Method):
        yield value
    inside: Iterable[Any] = ()
    if isinstance(value, (tuple, list)):
        inside = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        inside = (getattr(value, f.name) for f in dataclasses.fields(value))
    for item in inside:
        yield from _methods(item)


@cache
def _known(file: Path) -> list[str]:
    """The same of a file of the package, which is read once."""
    return _find_reaches(file)


def _find_reaches(file: Path) -> list[str]:
    """What a file names of the truth, the stack, or a closed package."""
    reasons: list[str] = []
    for node in ast.walk(parse(file)):
        if isinstance(node, ast.ImportFrom):
            every = [f"{node.module}.{alias.name}" for alias in node.names]
            reasons += [str(node.module) for name in every if name.startswith(CLOSED)]
            reasons += [alias.name for alias in node.names if alias.name in REACHING]
            reasons += [str(node.module)] if node.module in REACHING else []
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            reasons += [n for n in names if n.startswith(CLOSED) or n in REACHING]
        elif isinstance(node, ast.Attribute) and node.attr in REACHING:
            reasons.append(node.attr)
    return reasons
