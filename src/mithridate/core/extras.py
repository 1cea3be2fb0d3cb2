"""Optional dependencies: imported when they are needed, in silence, or asked for in a sentence."""

from __future__ import annotations

import contextlib
import importlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

from mithridate.core.errors import MissingExtra


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Leave out what libraries write on the terminal: extensions not found, and deprecations."""
    before = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


def import_extra(module: str, otherwise: str) -> Any:
    """Import a module of an optional dependency, without what it writes on the terminal.

    Args:
        otherwise: who needs it and what to install.

    Raises:
        MissingExtra: with these words where the module is absent or does not work here.
    """
    try:
        with silence():
            return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:  # torchvision beside another torch: RuntimeError
        raise MissingExtra(f"{otherwise} ({str(error).partition(chr(10))[0][:200]})") from None
