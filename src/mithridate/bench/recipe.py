"""Sweeps as Python functions: a recipe is a file of the user's own with a function of cells."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import cast

from mithridate.bench.cell import Cell
from mithridate.core.errors import MethodError, MithridateError


def cells_of(recipe: str) -> list[Cell]:
    """Give the cells of "FILE.py" or "FILE.py:FUNCTION"; the function is `sweep` by default.

    The file is Python and is run, like any program of one's own; never run a stranger's. What lies
    beside it can be imported.

    Raises:
        MethodError: where there is no such file or function, or it does not give cells.
    """
    name, _, function = recipe.partition(":")
    file = Path(name).resolve()
    if file.suffix != ".py" or not file.is_file():
        raise MethodError(f"a recipe is a Python file such as recipes/smoke.py, found {name!r}")
    sweep = _function(file, name, function or "sweep")
    try:
        cells = list(sweep())
    except Exception as error:
        raise _broken(file, error) from error
    wrong = [cell for cell in cells if not isinstance(cell, Cell)]
    if wrong or not cells:
        raise MethodError(
            f"{recipe} must give a list of cells, see mithridate.bench.cell.grid; "
            f"found {type(wrong[0]).__name__ if wrong else 'none'}"
        )
    return cells


_LOADED: set[str] = set()
"""Names of modules that are recipes, which another recipe of the same name may replace."""


def _function(file: Path, name: str, function: str) -> Callable[[], Iterable[Cell]]:
    """Run a file and give a function in it; raises MethodError where it has none of that name."""
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    sweep = getattr(_import_recipe(file), function, None)
    if not callable(sweep):
        raise MethodError(f"{name} has no function {function!r} that gives the cells")
    return cast(Callable[[], Iterable[Cell]], sweep)


def _import_recipe(file: Path) -> ModuleType:
    """Import a recipe by the name of its file, by which workers find what it defines."""
    known = sys.modules.get(file.stem)
    if known is not None and Path(getattr(known, "__file__", None) or "").resolve() == file:
        return known
    if known is not None and file.stem not in _LOADED:
        raise MethodError(
            f"{file} has the name of the module {file.stem!r}, which is loaded already; rename it"
        )
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    _LOADED.add(file.stem)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[file.stem]
        raise _broken(file, error) from error
    return module


def _broken(file: Path, error: Exception) -> Exception:
    """The recipe's own error, with its place in the recipe; the library's errors as they are."""
    if isinstance(error, MithridateError):
        return error
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    place = f"{file}:{lines[-1]}" if lines else str(file)
    return MethodError(f"{place}: the recipe raises {type(error).__name__}: {error}")
