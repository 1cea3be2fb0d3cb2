"""Bytes of a pickle, handed to the disassembler within limits."""

from __future__ import annotations

from typing import BinaryIO


class Unread(ValueError):
    """A limit was reached before the end of a pickle."""


class Bounded:
    """A stream of which no single value may be larger than what is left, or than a limit."""

    def __init__(self, stream: BinaryIO, size: int, limit: int) -> None:
        self.stream, self.left, self.limit = stream, size, limit

    def read(self, count: int) -> bytes:
        """Read so many bytes."""
        if self.limit < count <= self.left:
            raise Unread(f"one value has {count} bytes, more than {self.limit} are looked at")
        if count > self.limit:
            raise ValueError(f"one value has {count} bytes, and {self.left} are left")
        content = self.stream.read(min(count, self.left))
        self.left -= len(content)
        return content

    def readline(self) -> bytes:
        """Read a line."""
        line = self.stream.readline(min(self.left, 1 << 16))
        self.left -= len(line)
        return line

    def tell(self) -> int:
        """Where the stream is."""
        return self.stream.tell()
