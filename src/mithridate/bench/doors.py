"""Which code of a domain a step depends on: that behind the doors that it goes through.

A domain is met as a value, so imports do not tell which part of it is used: whoever imports its
class would depend on every reader, network and measure that it knows. What is traced instead: the
members of the class that code in the closure of a step names, and from there the functions, classes
and constants that these use, name by name through the package. A step that never names `corrupt`
thus keeps its key when a corruption is edited.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

from mithridate.bench.digest import (
    attributes,
    code_digest,
    imported_file,
    imports,
    is_border,
    near_files,
    source_file,
    strings,
    submodule,
)
from mithridate.bench.syntax import without_prose

Place: TypeAlias = tuple[Path, str]
"""A name at the top of a file; the empty name is what runs whenever the file is imported."""

ROUNDABOUT = frozenset({"getattr", "globals", "vars", "eval", "exec", "__dict__"})
"""Names by which code reaches what it does not name: then all of the class counts."""

HARMLESS = frozenset({"dataclass", "cache", "lru_cache", "contextmanager", "runtime_checkable",
                      "final", "overload"})  # fmt: skip
"""Decorators that leave no trace outside of what they decorate."""


def door_digest(domain: type | None, files: frozenset[Path], settings: frozenset[str]) -> str:
    """Give the digest of the code of domains that the code in some files can reach.

    Args:
        domain: Class of the domain that the files are given, where one is known. It may say in
            `apart` which members are reached only where some string fulfils a condition.
        files: Of the step and of its methods; what they import counts too.
        settings: The strings among the settings of the step and of those before it.
    """
    whole, spelt = _whole(files)
    apart = getattr(domain, "apart", {}).items()
    closed = frozenset(name for name, asked in apart if not any(map(asked, (*settings, *spelt))))
    return _digest_doors(domain, whole, closed)


@cache
def _whole(files: frozenset[Path]) -> tuple[frozenset[Path], frozenset[str]]:
    """The files with all that they import, and the strings in them that may name a network."""
    whole = frozenset[Path]().union(*(near_files(file) for file in files))
    spelt = frozenset[str]().union(*(strings(file) for file in whole))
    return whole, frozenset(each for each in spelt if ":" in each)


@cache
def _digest_doors(domain: type | None, whole: frozenset[Path], closed: frozenset[str]) -> str:
    starts = {place for file in whole for place in _imported_doors(file)}
    own = source_file(domain) if domain is not None else None
    if domain is not None and (own is None or domain.__name__ not in _bindings(own)):
        return code_digest(domain)  # no class at the top of a file
    if domain is not None and own is not None:
        starts.add((own, domain.__name__))
    if not starts:
        return ""
    names = frozenset[str]().union(*(attributes(file) for file in whole))
    spelt = sorted(_spell(node) for node in _trace(frozenset(starts), names, closed))
    return hashlib.blake2b("\n".join(spelt).encode(), digest_size=16).hexdigest()


def forget() -> None:
    """Forget what was traced, since a file was edited."""
    for known in (_whole, _digest_doors, _bindings, _imported_doors):
        known.cache_clear()


@cache
def _imported_doors(file: Path) -> frozenset[Place]:
    """The names that a file imports from the modules of domains."""
    imported: set[Place] = set()
    for each in imports(file):
        home = imported_file(each.module, each.level, file)
        if each.name is None:
            imported |= _every_name(home)
            continue
        if home is not None and is_border(home):
            imported.add((home, each.name))
        imported |= _every_name(imported_file(submodule(each), each.level, file))
    return frozenset(imported)


def _every_name(file: Path | None) -> set[Place]:
    """What the module of a domain binds; of any other file nothing."""
    return {(file, name) for name in _bindings(file)} if file and is_border(file) else set()


def _trace(
    starts: frozenset[Place], names: frozenset[str], closed: frozenset[str]
) -> list[ast.AST]:
    """All that some names depend on, where these members of domains are asked for.

    What is found may ask for further members, so it is done again until nothing is added.
    """
    while True:
        trace = _Trace(frozenset({file for file, _ in starts}), names, closed)
        nodes = [node for file, name in sorted(starts) for node in trace.follow(file, name)]
        more = names.union(*(_names(node) for node in nodes)) & trace.members
        if more <= names:
            return nodes
        names |= more


class _Trace:
    """One walk from name to name; each name is visited once."""

    def __init__(
        self, homes: frozenset[Path], doors: frozenset[str], closed: frozenset[str]
    ) -> None:
        self.homes, self.doors, self.closed = homes, doors, closed
        self.seen: set[Place] = set()
        self.members: set[str] = set()

    def follow(self, file: Path, name: str) -> Iterator[ast.AST]:
        """What a name at the top of a file stands for, and all that this uses."""
        if (file, name) in self.seen:
            return
        self.seen.add((file, name))
        for node in _bindings(file).get(name, ()):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from self._follow(node, name, file)
                continue
            parts: list[ast.AST] = [node]
            if isinstance(node, ast.ClassDef) and (file in self.homes or is_border(file)):
                parts = self._reached(node)
            for part in parts:
                yield part
                yield from self._follow_names(part, file)

    def _reached(self, node: ast.ClassDef) -> list[ast.AST]:
        """The members of a domain that are asked for; its fields and settings always are."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        every = (part for part in node.body if isinstance(part, kinds))
        methods = {part.name: part for part in every if part.name not in self.closed}
        self.members |= methods.keys()
        reached = {n for n in methods if n in self.doors or n.startswith("__")}
        queue = list(reached)
        while queue:
            named = _names(methods[queue.pop()])
            more = set(methods) if named & ROUNDABOUT else methods.keys() & named
            queue += more - reached
            reached |= more
        rest = [part for part in node.body if not isinstance(part, kinds)]
        return [*node.decorator_list, *node.bases, *rest, *(methods[n] for n in sorted(reached))]

    def _follow_names(self, node: ast.AST, file: Path) -> Iterator[ast.AST]:
        """Whatever a piece of code uses by name, directly or not."""
        for name in sorted({"", *_names(node)}):
            yield from self.follow(file, name)
        for part in _imports_inside(node):
            yield from self._follow(part, None, file)

    def _follow(
        self, node: ast.Import | ast.ImportFrom, name: str | None, file: Path
    ) -> Iterator[ast.AST]:
        """What an import brings, by the name that it has here, or all of it."""
        for alias in node.names:
            if name is not None and name != (alias.asname or alias.name.partition(".")[0]):
                continue
            inside = imported_file(alias.name, 0, file) if isinstance(node, ast.Import) else None
            if isinstance(node, ast.ImportFrom):
                start = f"{node.module}." if node.module else ""
                inside = imported_file(f"{start}{alias.name}", node.level, file)
                home = imported_file(node.module or "", node.level, file)
                if inside is None and home is not None:
                    yield from self.follow(home, alias.name)
                    yield from self.follow(home, "")
            if inside is not None:  # a module as a value: whatever is in it may be asked for
                for each in _bindings(inside):
                    yield from self.follow(inside, each)


@cache
def _bindings(file: Path) -> dict[str, list[ast.stmt]]:
    """The statements at the top of a file by the names that they bind."""
    return _bindings_of(file.read_text("utf-8"))


@cache  # by the text, so it and what is known of its statements outlives an edit
def _bindings_of(source: str) -> dict[str, list[ast.stmt]]:
    """The same of a text.

    What binds no plain name, and what a decorator may do more with than return it, runs whenever
    the file is imported and has the empty name too.
    """
    bound: dict[str, list[ast.stmt]] = {}
    for node in without_prose(ast.parse(source)).body:
        names = list(_bound_names(node))
        decorated = getattr(node, "decorator_list", [])
        if not names or any(_spelling(d) not in HARMLESS for d in decorated):
            names.append("")
        for name in names:
            bound.setdefault(name, []).append(node)
    return bound


def _spelling(decorator: ast.expr) -> str:
    call = decorator.func if isinstance(decorator, ast.Call) else decorator
    return call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")


def _bound_names(node: ast.stmt) -> Iterator[str]:
    """The names that a statement binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


@cache
def _spell(node: ast.AST) -> str:
    return ast.dump(node)


@cache
def _imports_inside(node: ast.AST) -> list[ast.Import | ast.ImportFrom]:
    """The imports in a piece of code, e.g. in a function."""
    return [part for part in ast.walk(node) if isinstance(part, (ast.Import, ast.ImportFrom))]


@cache
def _names(node: ast.AST) -> set[str]:
    """Every name and attribute in a piece of code, those that `getattr` spells out included."""
    names: set[str] = set()
    spelt: set[ast.AST] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Call) and len(part.args) > 1:
            asked = part.args[1]
            if isinstance(asked, ast.Constant) and isinstance(asked.value, str):
                spelt.add(part.func)
                names.add(asked.value)
        elif isinstance(part, ast.Attribute):
            names.add(part.attr)
        elif isinstance(part, ast.Name) and not (part in spelt and part.id == "getattr"):
            names.add(part.id)
    return names
