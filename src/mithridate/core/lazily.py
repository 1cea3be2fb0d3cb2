"""Names that a package gives when they are asked for, so that importing it is cheap (PEP 562)."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any

Get = Callable[[str], Any]
List = Callable[[], list[str]]


def named(package: str, homes: Mapping[str, str]) -> tuple[Get, List]:
    """Give `__getattr__` and `__dir__` of a package whose names live in other modules.

    Args:
        package: Its name.
        homes: The module of each name.

    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return get, lambda: sorted({*vars(importlib.import_module(package)), *homes})


def classes_within(package: str) -> tuple[Get, List]:
    """Give `__getattr__` and `__dir__` of a package of methods: all the classes in its files.

    Only a name that begins with a capital can be one, so that asking for a file imports no other.

    Args:
        package: Its name.
    """

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(_classes(package))
        if name[:1].isupper() and name in (there := _classes(package)):
            return there[name]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: sorted({*vars(importlib.import_module(package)), *_classes(package)})


def _classes(package: str) -> dict[str, Any]:
    """Import all files of a package and give the classes that are made in them."""
    home = importlib.import_module(package)
    within = pkgutil.iter_modules(home.__path__, f"{package}.")
    return {
        name: value
        for file in within
        for name, value in vars(importlib.import_module(file.name)).items()
        if inspect.isclass(value) and value.__module__ == file.name and name[0].isupper()
    }
