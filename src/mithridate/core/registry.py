"""Finding methods by kind and name: whatever stands in the packages of methods is found."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import pkgutil
from typing import Any, TypeVar, cast

from mithridate.core.errors import MethodError, UnknownMethod
from mithridate.core.method import Method

HOMES = ("domains", "attacks", "detectors", "scanners", "trainers", "repairs")
"""The packages that hold methods."""

M = TypeVar("M", bound=Method)


def find(kind: type[M]) -> dict[str, type[M]]:
    """Find every method of a kind, by name, in alphabetical order."""
    for home in HOMES:
        package = importlib.import_module(f"mithridate.{home}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    by_name: dict[str, type[M]] = {}
    queue: list[type[M]] = list(kind.__subclasses__())
    while queue:
        method = queue.pop()
        queue += method.__subclasses__()
        if not method.__module__.startswith(tuple(f"mithridate.{home}." for home in HOMES)):
            continue  # a base class, the referee's own, or a method of somebody's tests
        if not inspect.isabstract(method) and dataclasses.is_dataclass(method):
            by_name[method.name()] = method
    return dict(sorted(by_name.items()))


def get(kind: type[M], name: str, **fields: Any) -> M:
    """Build a method by name with some of its fields.

    Raises:
        UnknownMethod: with the nearest names.
        MethodError: where a field does not exist.
    """
    methods = find(kind)
    if name not in methods:
        near = difflib.get_close_matches(name, methods, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UnknownMethod(f"unknown {kind.kind} {name!r}: {hint}available: {', '.join(methods)}")
    method = methods[name]
    known = {f.name for f in dataclasses.fields(cast(Any, method))}
    wrong = sorted(set(fields) - known)
    if wrong:
        raise MethodError(f"{name} has no field {wrong[0]!r}; its fields: {sorted(known)}")
    return method(**fields)
