"""What code a result depends on: a digest of syntax trees, so that prose recomputes nothing.

The digest of a module covers its own code and that of every module of the package that it imports,
directly or not. Docstrings, comments and layout are no part of it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

from mithridate.core.errors import MethodError

PACKAGE = Path(__file__).parents[1]


def code_digest(thing: type | ModuleType) -> str:
    """Give the digest of the code that a class or a module depends on, 32 hexadecimal digits.

    Raises:
        MethodError: where its source cannot be read, e.g. of a class typed into a console.
    """
    try:
        source = inspect.getsourcefile(thing)
    except TypeError:
        source = None
    if source is None or not Path(source).is_file():
        raise MethodError(
            f"the source of {thing.__name__} cannot be read, so nothing can say when its results "
            "are out of date; put it into a file"
        )
    parts = sorted(_digest_file(file) for file in closure(Path(source).resolve()))
    return hashlib.blake2b("".join(parts).encode(), digest_size=16).hexdigest()


@cache
def closure(file: Path) -> frozenset[Path]:
    """Find the files that a file's code depends on: itself, and what it imports of the package."""
    seen, queue = {file}, [file]
    while queue:
        for other in _imports(queue.pop()):
            if other not in seen:
                seen.add(other)
                queue.append(other)
    return frozenset(seen)


@cache
def _digest_file(file: Path) -> str:
    """The digest of one file; it holds the file's name, so that two files cannot trade places."""
    tree = ast.dump(without_prose(ast.parse(file.read_text("utf-8"))))
    return hashlib.blake2b(f"{file.stem}\n{tree}".encode(), digest_size=16).hexdigest()


def without_prose(tree: ast.Module) -> ast.Module:
    """Take away every string that stands alone as a statement: documentation does nothing."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [s for s in body if not _is_prose(s)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return tree


def _is_prose(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _imports(file: Path) -> frozenset[Path]:
    tree = ast.parse(file.read_text("utf-8"))
    return frozenset(
        path for level, name in _names(tree) for path in (_path(name, level, file),) if path
    )


def _names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every module that may be imported anywhere in a file, with the number of leading dots.

    `from a import b` may mean a or a.b.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = f"{node.module}." if node.module else ""
            yield node.level, node.module or ""
            yield from ((node.level, f"{start}{alias.name}") for alias in node.names)


def _path(name: str, level: int, importer: Path) -> Path | None:
    """The source file of a module of the package, or of one of the importer's own files.

    Its own are those beside it and, where it lies in a package, those of that package.
    """
    parts = [part for part in name.split(".") if part]
    if level:
        homes = [importer.parents[level - 1]]
    elif parts[0] == PACKAGE.name:
        homes, parts = [PACKAGE], parts[1:]
    else:
        homes = [h for h in (importer.parent, *_roots(importer)) if not _is_installed(h)]
    for home in homes:
        place = home.joinpath(*parts)
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file.resolve()
    return None


def _roots(importer: Path) -> list[Path]:
    """The folder from which the importer's outermost package is imported."""
    folder = importer.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return [folder]


def _is_installed(folder: Path) -> bool:
    """Whether a folder holds what was installed, which is nobody's own."""
    return folder.name in ("site-packages", "dist-packages")
