"""What the text of a source file says, worked out once for each text.

Digests ask the same of a file again and again: what it imports, which names it uses, how its syntax
tree is spelt. A file that was edited has another text, so nothing that is kept here gets old.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Import:
    """One name that a statement imports.

    Attributes:
        module: Name of the module that is imported, or from which the name is; "" of `from .`.
        level: Number of dots before it.
        name: The name that is imported from it; None where it is the module itself.
    """

    module: str
    level: int = 0
    name: str | None = None


@dataclass(frozen=True)
class Code:
    """What one text says.

    Attributes:
        spelt: Its syntax tree without prose, as `ast.dump` spells it.
        imports: All that it imports, anywhere.
        attributes: Every name behind a dot.
        strings: Every string that is no prose.
        names: Every name that stands alone.
        classes: The classes at its top.
        pairs: The constants that its dictionaries name by a constant, in order.
    """

    spelt: str
    imports: tuple[Import, ...]
    attributes: frozenset[str]
    strings: frozenset[str]
    names: frozenset[str]
    classes: frozenset[str]
    pairs: tuple[tuple[object, object], ...]


@cache
def read_code(source: str) -> Code:
    """Parse a text; raises SyntaxError where that is not possible."""
    tree = without_prose(ast.parse(source))
    nodes = list(ast.walk(tree))
    values = (node.value for node in nodes if isinstance(node, ast.Constant))
    return Code(
        spelt=ast.dump(tree),
        imports=tuple(each for node in nodes for each in _imports(node)),
        attributes=frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute)),
        strings=frozenset(value for value in values if isinstance(value, str)),
        names=frozenset(node.id for node in nodes if isinstance(node, ast.Name)),
        classes=frozenset(node.name for node in tree.body if isinstance(node, ast.ClassDef)),
        pairs=tuple(pair for node in nodes if isinstance(node, ast.Dict) for pair in _pairs(node)),
    )


def _imports(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            yield Import(node.module or "", node.level, alias.name)


def _pairs(node: ast.Dict) -> Iterator[tuple[object, object]]:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant):
            yield key.value, value.value if isinstance(value, ast.Constant) else None


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
