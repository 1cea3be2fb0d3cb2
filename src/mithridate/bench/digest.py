"""What code a result depends on: a digest of syntax trees, so that prose recomputes nothing.

The digest of a module covers its own code and that of every module of the package that it imports,
directly or not. Docstrings, comments and layout are no part of it.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

from mithridate.bench.syntax import Code, Import, read_code
from mithridate.core.errors import MethodError

PACKAGE = Path(__file__).parents[1]

NAMING = frozenset({Path(__file__).resolve(), Path(__file__).resolve().with_name("doors.py")})
"""What names results is no part of them."""


def code_digest(thing: type | ModuleType, whole: bool = False) -> str:
    """Give the digest of the code that a class or a module depends on, 32 hexadecimal digits.

    Args:
        thing: The class or module.
        whole: Whether all of a domain counts whose module is imported. Else the module is where it
            ends, and `door_digest` says which part of the domain is reached.

    Raises:
        MethodError: Its source cannot be read, e.g. of a class typed into a console.
    """
    source = source_file(thing)
    if source is None:
        raise MethodError(
            f"the source of {thing.__name__} cannot be read, so nothing can say when its results "
            "are out of date; put it into a file"
        )
    return _digest_all(source, whole)


@cache
def _digest_all(file: Path, whole: bool) -> str:
    """The digest of a file and of all that it imports."""
    parts = sorted(_digest_file(each) for each in (closure(file) if whole else near_files(file)))
    return hashlib.blake2b("".join(parts).encode(), digest_size=16).hexdigest()


def source_file(thing: type | ModuleType) -> Path | None:
    """Give the file that a class was read from, or None where there is none."""
    try:
        source = inspect.getsourcefile(thing)
    except (TypeError, OSError):
        return None
    return Path(source).resolve() if source and Path(source).is_file() else None


@cache
def closure(file: Path) -> frozenset[Path]:
    """Find the files that a file's code depends on: itself, and what it imports of the package."""
    return _reached(file, lambda other: False)


@cache
def near_files(file: Path) -> frozenset[Path]:
    """Find the same files, but none of a domain that is reached through the domain's module."""
    return _reached(file, is_border)


def is_border(file: Path) -> bool:
    """Whether a file is the module of a domain, which is met as a value."""
    return file.name == "domain.py" and file.parent.parent == PACKAGE / "domains"


def _reached(file: Path, ends: Callable[[Path], bool]) -> frozenset[Path]:
    seen, queue = {file}, [file]
    while queue:
        for other in imported_by(queue.pop()):
            if other not in seen and other not in NAMING and not ends(other):
                seen.add(other)
                queue.append(other)
    return frozenset(seen)


@cache
def _digest_file(file: Path) -> str:
    """The digest of one file; it holds the file's name, so that two files cannot trade places."""
    return hashlib.blake2b(f"{file.stem}\n{_code(file).spelt}".encode(), digest_size=16).hexdigest()


@cache
def _code(file: Path) -> Code:
    """What a file says; its text is read once until `forget`."""
    return read_code(file.read_text("utf-8"))


def imports(file: Path) -> tuple[Import, ...]:
    """All that a file imports, anywhere."""
    return _code(file).imports


@cache
def imported_by(file: Path) -> frozenset[Path]:
    """The files that may be imported anywhere in a file; `from a import b` may mean a or a.b."""
    imported: set[Path | None] = set()
    for each in imports(file):
        home = imported_file(each.module, each.level, file)
        if each.name is None:
            imported |= {home, *_all_of(home)}
            continue
        inside = imported_file(submodule(each), each.level, file)
        given = None if inside else _home_of(home, each.name)
        imported |= {inside, given, home if given is None else None}
    return frozenset(path for path in imported if path is not None)


def submodule(each: Import) -> str:
    """The module that is imported where the name is one, e.g. a.b of `from a import b`."""
    return f"{each.module}.{each.name}" if each.module else str(each.name)


def _home_of(package: Path | None, name: str) -> Path | None:
    """The file that a name comes from, which a package imports only when it is asked for."""
    if package is None or not _is_lazy(package):
        return None
    for key, value in _code(package).pairs:
        if key == name:
            return imported_file(str(value), 0, package) if value else None
    homes = (file for file in _all_of(package) if name in _code(file).classes)
    return next(homes, None)


def _all_of(package: Path | None) -> list[Path]:
    """The files beside a package's own, where it imports them only when they are asked for."""
    if package is None or not _is_lazy(package):
        return []
    return sorted(file.resolve() for file in package.parent.glob("*.py") if file != package)


def _is_lazy(file: Path) -> bool:
    """Whether a package defines what happens where it is asked for a name (PEP 562)."""
    return file.name == "__init__.py" and "__getattr__" in _code(file).names


def parse(file: Path) -> ast.Module:
    """Read a file as a syntax tree."""
    return ast.parse(file.read_text("utf-8"))


def attributes(file: Path) -> frozenset[str]:
    """Every name that a file's code puts behind a dot."""
    return _code(file).attributes


def strings(file: Path) -> frozenset[str]:
    """Every string in a file's code."""
    return _code(file).strings


def forget() -> None:
    """Forget what was read, since a file was edited."""
    for known in (
        closure,
        near_files,
        _digest_all,
        _digest_file,
        _code,
        imported_by,
        imported_file,
    ):
        known.cache_clear()


@cache
def imported_file(name: str, level: int, importer: Path) -> Path | None:
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
