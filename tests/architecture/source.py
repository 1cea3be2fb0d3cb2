"""The source tree as the architecture tests read it."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from functools import cache
from pathlib import Path

import pytest

from mithridate.core.method import Method
from mithridate.core.registry import find

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "mithridate"

LAYERS = (
    ("core", "stats"),
    ("domains",),
    (
        "attacks",
        "detectors",
        "scanners",
        "trainers",
        "repairs",
        "aggregators",
        "clients",
        "artifacts",
    ),
    ("pipelines",),
    ("bench",),
    ("report",),
    ("service", "bridges"),
    ("cli",),
)
RANK = {package: rank for rank, layer in enumerate(LAYERS) for package in layer}
DEFENCES = ("detectors", "scanners", "repairs", "aggregators", "pipelines")


@dataclass(frozen=True)
class Module:
    """One file of the package, parsed."""

    path: Path

    @property
    def place(self) -> str:
        """The path within the package, e.g. core/fit.py."""
        return self.path.relative_to(PACKAGE).as_posix()

    @property
    def package(self) -> str:
        """The first folder, e.g. trainers; empty for the root."""
        return self.place.partition("/")[0] if "/" in self.place else ""

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @property
    def tree(self) -> ast.Module:
        return parse(self.path)

    def imports(self) -> Iterator[tuple[str, str]]:
        """Every (module, name) imported anywhere in the file; no name for `import x`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.place}: relative import"
                yield from ((node.module or "", alias.name) for alias in node.names)


@cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def modules(*packages: str) -> list[Module]:
    """Every module of the package, or of some of its folders."""
    found = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]
    return [m for m in found if not packages or m.package in packages]


def kinds() -> list[type[Method]]:
    """The kinds of methods: what a method inherits from directly."""
    find(Method)  # imports every home of methods
    return [kind for kind in Method.__subclasses__() if not is_dataclass(kind)]


def docstrings(tree: ast.AST) -> set[ast.expr]:
    """Strings that stand alone as a statement, which are documentation."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def code_words(module: Module) -> Iterator[tuple[int, str]]:
    """Every word of the code, comments and documentation left out, with its line.

    Names are split at underscores and capitals: `read_text` gives "read" and "text".
    """
    skipped = docstrings(module.tree)
    for node in ast.walk(module.tree):
        if node in skipped:
            continue
        for field in ("id", "attr", "arg", "name", "asname", "module", "value"):
            value = getattr(node, field, None)
            if isinstance(value, str) and value not in STANDARD_NAMES:
                split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", value)
                for word in re.findall(r"[A-Za-z]+", split):
                    yield getattr(node, "lineno", 0), word.lower()


STANDARD_NAMES = {"read_text", "write_text"}
"""Names of the standard library that hold a banned word by chance."""


def tracked() -> list[Path]:
    """The files that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a git checkout")
    found = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [path for path in found if path.is_file()]
