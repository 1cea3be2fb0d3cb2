"""Sweeps as Python functions: a recipe is a file of the user's own with a function of cells."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from mithridate.bench.cell import Cell
from mithridate.core.errors import MethodError


def cells_of(recipe: str) -> list[Cell]:
    """Give the cells of "FILE.py" or "FILE.py:FUNCTION"; the function is `sweep` by default.

    The file is Python and is run, like any program of one's own; never run a stranger's. What lies
    beside it can be imported. Raises MethodError where there is no such file or function, or it
    does not give cells.
    """
    name, _, function = recipe.partition(":")
    file = Path(name).resolve()
    if file.suffix != ".py" or not file.is_file():
        raise MethodError(f"a recipe is a Python file such as recipes/smoke.py, found {name!r}")
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    module = sys.modules.get(file.stem)
    if module is None or Path(module.__file__ or "").resolve() != file:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module  # workers import what a recipe defines by this name
        spec.loader.exec_module(module)
    sweep = getattr(module, function or "sweep", None)
    if not callable(sweep):
        raise MethodError(f"{name} has no function {function or 'sweep'!r} that gives the cells")
    cells = list(sweep())
    wrong = [cell for cell in cells if not isinstance(cell, Cell)]
    if wrong or not cells:
        raise MethodError(
            f"{recipe} must give a list of cells, see mithridate.bench.cell.grid; "
            f"found {type(wrong[0]).__name__ if wrong else 'none'}"
        )
    return cells
