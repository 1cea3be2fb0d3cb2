"""How a message spells a setting: as an argument in Python, as a flag on the command line.

A message is written once, where the fault is met, and asks here for the spelling of whoever called:
who speaks another language than Python says so around the call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Spelling = Callable[[str, object], str]
"""Spells a setting: its name, and the value to give it, None where the reader chooses one."""


def as_argument(name: str, value: object = None) -> str:
    """Spell a setting for Python: `size=32`, or `label=` where the value is open.

    Args:
        name: of the setting; "limits.rows" is the field `rows` of the limits.
        value: what to give it, None where that is open.

    """
    if name.startswith("limits."):
        return f"Limits.{name.partition('.')[2]}"
    return f"{name}={'' if value is None else value}"


_spelling: ContextVar[Spelling] = ContextVar("spelling", default=as_argument)


def option(name: str, value: object = None) -> str:
    """Spell a setting for whoever reads the message."""
    return _spelling.get()(name, value)


def spoken(python: str, otherwise: str) -> str:
    """Choose between two texts: one for whoever calls from Python, and one for anybody else."""
    return python if _spelling.get() is as_argument else otherwise


def raised(limit: str) -> str:
    """Advise to raise a limit, in the words of whoever reads the message."""
    return f"raise {option(f'limits.{limit}')} if that is meant"


@contextmanager
def spelt(spelling: Spelling) -> Iterator[None]:
    """Spell the settings in messages another way, as long as the block lasts."""
    before = _spelling.set(spelling)
    try:
        yield
    finally:
        _spelling.reset(before)
