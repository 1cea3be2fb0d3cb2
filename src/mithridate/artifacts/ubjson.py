"""Universal Binary JSON as XGBoost writes it, read within bounds that the file itself gives."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from mithridate.core.errors import DataError

DEEPEST, MOST = 64, 5_000_000
"""Levels of nesting, and values in all that are no rows of plain numbers."""

NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
PLAIN = {"T": True, "F": False, "Z": None}


def read_ubjson(content: bytes) -> Any:
    """Give the value in some bytes: dictionaries, lists, arrays of numbers, numbers and strings.

    Raises:
        DataError: where the bytes are broken, nested too deeply, or promise more than they hold.
    """
    try:
        return _Reader(content).value(0)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise DataError(f"expected UBJSON that ends where it says, found none ({error})") from None


class _Reader:
    """A place in some bytes."""

    def __init__(self, content: bytes) -> None:
        self.content, self.at, self.count = content, 0, 0

    def value(self, depth: int, kind: str = "") -> Any:
        """Read the value that comes next; of a kind that is known, or else of the one it names."""
        self.count += 1
        if depth > DEEPEST or self.count > MOST:
            raise DataError(f"expected at most {DEEPEST} levels and {MOST:,} values, found more")
        kind = kind or self.mark()
        if kind in NUMBERS:
            return self.number(kind)
        if kind in PLAIN:
            return PLAIN[kind]
        if kind in "SH":
            return self.name()
        if kind == "C":
            return chr(self.take(1)[0])
        if kind == "{":
            return self.dictionary(depth)
        if kind == "[":
            return self.row(depth)
        raise DataError(f"expected UBJSON, found a value of the kind {kind!r}")

    def mark(self) -> str:
        """Read a letter; what means nothing is passed over."""
        while (mark := chr(self.take(1)[0])) == "N":
            pass
        return mark

    def take(self, size: int) -> bytes:
        """Read so many bytes."""
        if size < 0 or size > len(self.content) - self.at:
            raise DataError("expected UBJSON that holds what it promises, found less")
        self.at += size
        return self.content[self.at - size : self.at]

    def number(self, kind: str) -> int | float:
        """Read a number."""
        dtype = np.dtype(NUMBERS[kind])
        made: int | float = np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()
        return made

    def length(self) -> int:
        """Read how long something is."""
        kind = self.mark()
        size = self.number(kind) if kind in "iUIlL" else -1
        if not 0 <= size <= len(self.content):
            raise DataError(f"expected a length of at most {len(self.content):,}, found {size}")
        return int(size)

    def name(self) -> str:
        """Read a string."""
        return self.take(self.length()).decode("utf-8")

    def dictionary(self, depth: int) -> dict[str, Any]:
        """Read a dictionary to its end."""
        made: dict[str, Any] = {}
        while True:
            if self.content[self.at] == ord("}"):
                self.at += 1
                return made
            name = self.name()
            if name in made:
                raise DataError(f"expected each name once, found {name[:40]!r} twice")
            made[name] = self.value(depth + 1)

    def row(self, depth: int) -> Any:
        """Read a list, or an array of numbers of one kind."""
        kind = ""
        if self.content[self.at] == ord("$"):
            self.at += 1
            kind = self.mark()
        if self.content[self.at] == ord("#"):
            self.at += 1
            size = self.length()
            if kind in NUMBERS:
                dtype = np.dtype(NUMBERS[kind])
                return np.frombuffer(self.take(size * dtype.itemsize), dtype)
            return [self.value(depth + 1, kind) for _ in range(size)]
        made = []
        while self.content[self.at] != ord("]"):
            made.append(self.value(depth + 1))
        self.at += 1
        return made
