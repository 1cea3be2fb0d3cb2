"""Which functions of the package hold one value while something runs, and who calls upwards."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from architecture.source import PACKAGE, RANK

PLAIN = (str, int, float, bool, tuple, type(None))
"""Types whose values are the same object by chance."""


class Walk:
    """Watches the calls of this thread, within the package.

    Attributes:
        root: The function, as "file:name", whose arguments and locals are followed.
        climbs: (caller, callee) where a lower layer calls into a higher one.
        held: The functions that were given a value, by the name that the root has for it.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self.climbs: set[tuple[str, str]] = set()
        self.held: dict[str, set[str]] = {}
        self._holders: dict[int, set[str]] = defaultdict(set)
        self._kept: dict[int, Any] = {}  # so that no other value gets the number of one that ended
        self._names: dict[CodeType, str] = {}

    def __enter__(self) -> Walk:
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _name(self, code: CodeType) -> str:
        """A function's file and name, "" outside of the package."""
        if code not in self._names:
            file = Path(code.co_filename)
            inside = PACKAGE in file.parents
            place = file.relative_to(PACKAGE).as_posix() if inside else ""
            self._names[code] = f"{place}:{code.co_qualname}" if inside else ""
        return self._names[code]

    def _see(self, frame: FrameType, event: str, _: object) -> None:
        callee = self._name(frame.f_code)
        if callee and event == "call":
            self._called(frame, callee)
        elif callee == self.root and event == "return":
            self.held = {
                name: self._holders[id(value)]
                for name, value in frame.f_locals.items()
                if not isinstance(value, PLAIN)
            }

    def _called(self, frame: FrameType, callee: str) -> None:
        for value in frame.f_locals.values():
            self._holders[id(value)].add(callee)
            self._kept[id(value)] = value
        above = frame.f_back
        while above is not None and not self._name(above.f_code):
            above = above.f_back
        if above is not None:
            caller = self._name(above.f_code)
            here, there = (RANK.get(name.partition("/")[0], 99) for name in (callee, caller))
            if here > there:
                self.climbs.add((caller, callee))
