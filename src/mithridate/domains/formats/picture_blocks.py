"""Pictures in blocks, each decoded, or read as it was decoded before.

Axes: m pictures of a block, k channels, h rows, w columns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import features

from mithridate.core.errors import DataError
from mithridate.domains.formats import decoding
from mithridate.domains.formats.decoding import TRAITS, Pixels, decode, is_constant, resize
from mithridate.domains.formats.source import Limits
from mithridate.domains.kept_pixels import KeptPixels

PICTURES = 2048
"""Pictures of a block at most."""

ENCODED = 2**24
"""Bytes of the files of a block, which are in memory together."""

PIXELS = 2**27
"""Bytes of the pixels of a block that is kept."""

FEWEST = 256
"""Pictures below which a block is not kept: they are decoded in a few hundredths of a second."""

Fetched = bytes | DataError
"""The file of a picture, or why there is none."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """One picture as it is used.

    Attributes:
        row: Where it stands among all.
        pixels: uint8[h, w, k], resized.
        traits: Keys of TRAITS that hold for the file.
        constant: Whether it shows (nearly) nothing.

    """

    row: int
    pixels: Pixels
    traits: tuple[str, ...]
    constant: bool


@dataclass(frozen=True, eq=False)
class Undecoded:
    """A picture that could not be decoded, and why."""

    row: int
    why: DataError


def decoded(
    encoded: Iterable[Callable[[], bytes]], wanted: NDArray[np.bool_], size: int | None,
    limits: Limits,
) -> Iterator[Decoded | Undecoded]:  # fmt: skip
    """Decode the pictures that are wanted, in their order.

    Args:
        encoded: Give the file of each picture, [n].
        wanted: bool[n].
        size: To which they are resized; None keeps theirs.
        limits: Of what one may cost.

    """
    kept = KeptPixels()
    for rows, files in _blocks(encoded, wanted):
        name = _name(files, size, limits) if kept.allowed and len(rows) >= FEWEST else ""
        block = _known(kept, name, rows) if name else None
        fresh = (_one(row, file, size, limits) for row, file in zip(rows, files, strict=True))
        yield from _passed_on(fresh, kept, name) if block is None else block


def _blocks(
    encoded: Iterable[Callable[[], bytes]], wanted: NDArray[np.bool_]
) -> Iterator[tuple[list[int], list[Fetched]]]:
    rows: list[int] = []
    files: list[Fetched] = []
    size = 0
    for row, fetch in enumerate(encoded):
        if not wanted[row]:
            continue
        rows.append(row)
        files.append(_fetched(fetch))
        size += len(files[-1]) if isinstance(files[-1], bytes) else 0
        if len(rows) == PICTURES or size >= ENCODED:
            yield rows, files
            rows, files, size = [], [], 0
    if rows:
        yield rows, files


def _fetched(fetch: Callable[[], bytes]) -> Fetched:
    try:
        return fetch()
    except DataError as error:
        return error


def _one(row: int, file: Fetched, size: int | None, limits: Limits) -> Decoded | Undecoded:
    if isinstance(file, DataError):
        return Undecoded(row, file)
    try:
        picture = decode(file, limits)
    except DataError as error:
        return Undecoded(row, error)
    pixels = picture.pixels
    if size and pixels.shape[:2] != (size, size):
        pixels = resize(pixels, size)
    return Decoded(row, pixels, picture.traits, is_constant(pixels))


def _name(files: list[Fetched], size: int | None, limits: Limits) -> str:
    """Name a block by its files, what was asked for, and what decodes; "" where one is absent."""
    asked = f"{_decoder()}|{size}|{limits.pixels}|{len(files)}"
    digest = hashlib.sha256(asked.encode())
    for file in files:
        if isinstance(file, DataError):
            return ""
        digest.update(len(file).to_bytes(8, "little") + file)
    return digest.hexdigest()


@cache
def _decoder() -> str:
    """Say what decodes: Pillow, the libraries below it, and our own code."""
    parts = [PIL.__version__, *(str(features.version(each)) for each in ("jpg", "webp", "zlib"))]
    parts.append(hashlib.sha256(Path(decoding.__file__).read_bytes()).hexdigest())
    return "|".join(parts)


def _passed_on(
    block: Iterator[Decoded | Undecoded], kept: KeptPixels, name: str
) -> Iterator[Decoded | Undecoded]:
    """Pass on each picture as it is decoded, and keep those of one shape under a name."""
    pictures: list[Decoded] = []
    room, shape = PIXELS if name else -1, None
    for each in block:
        yield each
        whole = isinstance(each, Decoded) and shape in (None, each.pixels.shape)
        if not isinstance(each, Decoded) or not whole or room < each.pixels.nbytes:
            room = -1
            pictures.clear()
            continue
        shape, room = each.pixels.shape, room - each.pixels.nbytes
        pictures.append(each)
    if room >= 0 and pictures:
        _keep(kept, name, pictures)


def _keep(kept: KeptPixels, name: str, pictures: list[Decoded]) -> None:
    head = {
        "shape": [len(pictures), *pictures[0].pixels.shape],
        "traits": {at: each.traits for at, each in enumerate(pictures) if each.traits},
        "constant": [at for at, each in enumerate(pictures) if each.constant],
    }
    kept.keep(name, head, np.stack([each.pixels for each in pictures]).data.cast("B"))


def _known(kept: KeptPixels, name: str, rows: list[int]) -> list[Decoded | Undecoded] | None:
    """Read a block that is kept; None where it is not, or says anything that cannot be."""
    entry = kept.find(name)
    if entry is None:
        return None
    head, body = entry
    try:
        shape = [int(each) for each in head["shape"]]
        traits = {int(at): tuple(map(str, each)) for at, each in head["traits"].items()}
        constant = {int(at) for at in head["constant"]}
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if not _possible(shape, traits, len(rows), body.nbytes):
        return None
    pixels: NDArray[Any] = np.frombuffer(body, dtype=np.uint8).reshape(shape)
    return [
        Decoded(row, pixels[at], traits.get(at, ()), at in constant) for at, row in enumerate(rows)
    ]


def _possible(shape: list[int], traits: dict[int, tuple[str, ...]], count: int, size: int) -> bool:
    """Whether a block has so many pictures of 1 or 3 channels, and nothing unknown is said."""
    fits = len(shape) == 4 and shape[0] == count and shape[3] in (1, 3) and min(shape) > 0
    known = all(each in TRAITS for said in traits.values() for each in said)
    return fits and known and np.prod(shape, dtype=object) == size
