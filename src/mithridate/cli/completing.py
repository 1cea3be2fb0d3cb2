"""Names of methods for the shell's completion, read from source: a keystroke imports no torch."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mithridate.core.names import kebab

PLACES = (
    "core",
    "attacks",
    "domains",
    "detectors",
    "scanners",
    "trainers",
    "repairs",
    "aggregators",
    "clients",
)
"""The folders that hold kinds of methods and methods."""

NAMED = "named-attack"
"""What attacks of the literature are called among the kinds of methods."""

ROOT = Path(__file__).parents[1]


def names_of(kind: str) -> Callable[[str], list[str]]:
    """Make a completion of the names of methods of a kind, or of those of a "named-attack"."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in known(kind) if name.startswith(incomplete)]

    return complete


def kinds_for_the_shell(incomplete: str) -> list[str]:
    """Complete the name of a kind of methods."""
    kinds = {each.own_kind for each in _classes() if each.own_kind} | {NAMED}
    return sorted(kind for kind in kinds if kind.startswith(incomplete))


def known(kind: str) -> list[str]:
    """Give the names of the methods of a kind that come with us, in alphabetical order."""
    if kind == NAMED:
        return sorted(_attacks())
    classes = {each.name: each for each in _classes()}
    return sorted(
        each.spelled for each in classes.values() if each.frozen and each.kind_of(classes) == kind
    )


@dataclass(frozen=True)
class ClassSource:
    """A class as its source shows it."""

    name: str
    bases: tuple[str, ...]
    own_kind: str
    spelled: str
    frozen: bool

    def kind_of(self, classes: dict[str, ClassSource]) -> str:
        """The kind of methods that it is of, its own or that of a class above it."""
        above = (classes[base].kind_of(classes) for base in self.bases if base in classes)
        return self.own_kind or next((kind for kind in above if kind), "")


def _classes() -> Iterator[ClassSource]:
    for place in PLACES:
        for file in sorted((ROOT / place).rglob("*.py")):
            for node in ast.parse(file.read_text("utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    yield _seen(node)


def _seen(node: ast.ClassDef) -> ClassSource:
    values = {
        target.id: statement.value.value
        for statement in node.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    bases = tuple(base.id for base in node.bases if isinstance(base, ast.Name))
    spelled = str(values.get("spelled") or kebab(node.name))
    return ClassSource(
        node.name, bases, str(values.get("kind", "")), spelled, bool(node.decorator_list)
    )


def _attacks() -> Iterator[str]:
    """The first argument of every `NamedAttack(...)`."""
    for file in (ROOT / "domains").rglob("attacks.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NamedAttack":
                yield str(ast.literal_eval(node.args[0]))
