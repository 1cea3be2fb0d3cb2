"""Decoded pixels that are kept, so that the same files are not decoded again.

A block of pictures is named by the digest of what it was made of, so an edited file is another
name, and nothing is ever out of date. What is read back is compared with its own digest first: a
torn or altered file is deleted and its pictures are decoded again. Nothing in it is ever unpickled.
Those that were used longest ago go first where the folder has reached its size.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mithridate.core.errors import MethodError
from mithridate.domains.named_sets import places

VARIABLE = "MITHRIDATE_PIXELS"
"""The environment variable that says how many MiB are kept; 0 keeps nothing."""

DEFAULT = 1024
"""MiB that are kept where nothing is said."""

MAGIC = b"mithridate-pixels/1\n"
DIGEST = 32
LONGEST_HEAD = 2**22
"""Bytes of the description of one block."""


def folder_of_pixels() -> Path:
    """Give the folder in which decoded pixels are kept."""
    return places()[-1] / "pixels"


def bytes_allowed() -> int:
    """Say how many bytes may be kept.

    Raises:
        MethodError: The environment variable holds no whole number.

    """
    said = os.environ.get(VARIABLE, str(DEFAULT)).strip()
    if not said.isdecimal():
        raise MethodError(
            f"expected {VARIABLE} to be the whole number of MiB of decoded pixels to keep, 0 for "
            f"none; found {said!r}"
        )
    return int(said) * 2**20


def bytes_kept() -> int:
    """Say how many bytes are kept."""
    return sum(size for _, size, _ in _files(folder_of_pixels()))


def forget() -> int:
    """Delete all decoded pixels that are kept; gives the bytes that were freed."""
    freed = 0
    for path, size, _ in _files(folder_of_pixels()):
        path.unlink(missing_ok=True)
        freed += size
    return freed


@dataclass
class KeptPixels:
    """Blocks of decoded pixels in a folder.

    Attributes:
        folder: Where they are kept.
        allowed: Bytes of all of them together; 0 reads and keeps nothing.

    """

    folder: Path = field(default_factory=folder_of_pixels)
    allowed: int = field(default_factory=bytes_allowed)
    _size: int | None = None

    def find(self, name: str) -> tuple[dict[str, Any], memoryview] | None:
        """Give the description and the pixels of a block, None where it is not kept, or damaged."""
        path = self.folder / name
        try:
            if not self.allowed or path.is_symlink() or path.stat().st_size > self.allowed:
                return None
            content = path.read_bytes()
        except OSError:
            return None
        block = _opened(content)
        with contextlib.suppress(OSError):
            os.utime(path) if block else path.unlink()
        return block

    def keep(self, name: str, head: dict[str, Any], pixels: memoryview) -> None:
        """Keep a block, where the disk lets us: what cannot be kept is decoded again, no more."""
        described = json.dumps(head).encode()
        size = len(MAGIC) + DIGEST + 4 + len(described) + pixels.nbytes
        if 2 * size > self.allowed or len(described) > LONGEST_HEAD:
            return
        from mithridate.core.files import replacement

        length = len(described).to_bytes(4, "little")
        digest = _digest(length, described, pixels)
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_room(size)
            with replacement(self.folder / name) as unfinished, unfinished.open("xb") as file:
                unfinished.chmod(0o600)
                for part in (MAGIC, digest, length, described, pixels):
                    file.write(part)

    def _make_room(self, size: int) -> None:
        """Delete the blocks that were used longest ago, until so many more bytes fit."""
        if self._size is None:
            self._size = sum(each for _, each, _ in _files(self.folder))
        self._size += size
        if self._size <= self.allowed:
            return
        files = sorted(_files(self.folder), key=lambda each: each[2])
        self._size = size + sum(each for _, each, _ in files)
        for path, freed, _ in files:
            if self._size <= self.allowed:
                return
            path.unlink(missing_ok=True)
            self._size -= freed


def _files(folder: Path) -> list[tuple[Path, int, float]]:
    """List the files of a folder, with their sizes and when each was used."""
    listed = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    known = entry.stat(follow_symlinks=False)
                    listed.append((Path(entry.path), known.st_size, known.st_mtime))
    return listed


def _opened(content: bytes) -> tuple[dict[str, Any], memoryview] | None:
    """Take a file apart, where it is whole and ours."""
    whole = memoryview(content)
    start = len(MAGIC) + DIGEST
    if not content.startswith(MAGIC) or len(content) < start + 4:
        return None
    length = int.from_bytes(whole[start : start + 4], "little")
    if length > LONGEST_HEAD or whole[len(MAGIC) : start] != _digest(whole[start:]):
        return None
    try:
        head = json.loads(bytes(whole[start + 4 : start + 4 + length]))
    except (ValueError, RecursionError):
        return None
    return (head, whole[start + 4 + length :]) if isinstance(head, dict) else None


def _digest(*parts: bytes | memoryview) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
