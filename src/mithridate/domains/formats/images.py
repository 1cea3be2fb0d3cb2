"""Encoded images to bytes in memory and back.

Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.decoding import TRAITS, Pixels, is_constant
from mithridate.domains.formats.picture_blocks import Undecoded, decoded
from mithridate.domains.formats.source import Reading, TooFewSeen


def encode(image: torch.Tensor) -> bytes:
    """Encode uint8[k, h, w] as a PNG, which loses nothing."""
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


class ImageStack:
    """Images of one size, collected in one piece of memory.

    Where grey and RGB images meet, all become RGB. All must have the size of the first.
    """

    def __init__(self, capacity: int, reading: Reading) -> None:
        self.capacity, self.reading = capacity, reading
        self.count, self.first = 0, ""
        self.kinds: set[int] = set()
        self.images = torch.empty(0, 1, 0, 0, dtype=torch.uint8)

    def _other_size(self, name: str, height: int, width: int) -> DataError:
        """Say that an image does not fit to the first."""
        expected = "x".join(map(str, reversed(self.images.shape[2:])))
        return DataError(
            f"{name!r}: expected an image of {expected} pixels like {self.first!r}, found "
            f"{width}x{height}; {option('size', 32)} (or another) resizes all images to one size"
        )

    def add(self, pixels: Pixels, name: str) -> None:
        """Add one image uint8[h, w, k].

        Raises:
            DataError: where its size is not that of the first, or memory would run out.
        """
        height, width, channels = pixels.shape
        if not self.first:
            self.first, self.images = name, self._room(channels, height, width)
        if (height, width) != tuple(self.images.shape[2:]):
            raise self._other_size(name, height, width)
        if channels > self.images.shape[1]:
            grey = self.images
            self.images = self._room(channels, height, width)
            self.images[: self.count] = grey[: self.count]
        self.images[self.count] = torch.from_numpy(np.array(pixels.transpose(2, 0, 1)))
        self.kinds.add(channels)
        self.count += 1

    def _room(self, *shape: int) -> torch.Tensor:
        needed = self.capacity * int(np.prod(shape))
        limit = self.reading.limits.total
        try:
            if needed <= limit:
                return torch.empty(self.capacity, *shape, dtype=torch.uint8)
        except (MemoryError, RuntimeError):  # torch says that memory is out by RuntimeError
            limit = 0
        raise DataError(
            f"{str(self.reading.root)!r}: {self.capacity} images of {shape[2]}x{shape[1]} pixels "
            f"need {needed / 2**30:.1f} GiB, more than "
            + (f"the limit of {limit / 2**30:.1f} GiB" if limit else "this machine has")
            + f"; {option('size', 32)} (or another) makes them smaller"
        )

    def tensor(self) -> torch.Tensor:
        """Give the images uint8[n, k, h, w]."""
        if len(self.kinds) > 1:
            self.reading.notes.append("Grey and RGB images are mixed: all were made RGB.")
        return self.images[: self.count]


def gather(
    encoded: Iterable[Callable[[], bytes]], labels: np.ndarray[Any, Any], names: Sequence[str],
    reading: Reading, wanted: np.ndarray[Any, Any] | None = None,
) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:  # fmt: skip
    """Decode images one by one; those without a label (negative) are passed over.

    Gives the images uint8[n, k, h, w] and the positions int64[n] of the rows that were kept. Where
    examples are drawn ahead, the images are those of the drawn ones alone, and positions of all.

    Args:
        encoded: Give the file of each image, [m].
        labels: int64[m].
        names: [m].
        reading: What was asked for.
        wanted: bool[m], where it is known already what is drawn.

    """
    wanted = reading.wanted(labels) if wanted is None else wanted
    stack = ImageStack(int(wanted.sum()), reading)
    kept: list[int] = []
    flat: list[bool] = []
    special: Counter[str] = Counter()
    for picture in decoded(encoded, wanted, reading.size, reading.limits):
        if isinstance(picture, Undecoded):
            reading.reject(names[picture.row], str(picture.why), type(picture.why))
            continue
        stack.add(picture.pixels, names[picture.row])
        kept.append(picture.row)
        flat.append(picture.constant)
        special.update(picture.traits)
    reading.notes += [f"{special[trait]} images {TRAITS[trait]}." for trait in TRAITS
                      if special[trait]]  # fmt: skip
    at, nothing = np.array(kept, dtype=np.int64), np.array(flat, dtype=bool)
    images, rows = seen(stack.tensor(), at, labels, names, reading, nothing)
    return images, np.flatnonzero(labels >= 0) if reading.draws_ahead else rows


def seen(
    images: torch.Tensor, rows: np.ndarray[Any, Any], labels: np.ndarray[Any, Any],
    names: Sequence[str], reading: Reading, flat: np.ndarray[Any, Any] | None = None,
) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:  # fmt: skip
    """Refuse pictures that were read as (nearly) nothing, where most of a class are.

    A network learns from such pictures what their file never meant, and so a verdict about them
    would be one about nothing. Where single bad examples are listed, these are left out instead;
    where they are few, a note says so.

    Args:
        images: uint8[n, k, h, w].
        rows: int64[n], where in labels and names each image stands.
        labels: int64[m], classes.
        names: of the examples, [m].
        reading: what was asked for.
        flat: bool[n], which of them are constant, where that is known.

    Returns:
        The images and rows that are left.

    Raises:
        DataError: where more than half of all images, or of those of a class, are constant.
        TooFewSeen: where that is so of drawn images, which may be very few.
    """
    if flat is None:
        each = (is_constant(image.transpose(1, 2, 0)) for image in images.numpy())
        flat = np.fromiter(each, dtype=bool, count=len(images))
    if not flat.any():
        return images, rows
    of_class = np.unique(labels[rows], return_inverse=True)[1]
    share = np.bincount(of_class, flat) / np.bincount(of_class)
    first = names[rows[flat.argmax()]]
    said = f"{int(flat.sum())} of {len(flat)} images come out (nearly) constant"
    if share.max() <= 0.5 and flat.mean() <= 0.5:
        reading.notes.append(f"{said}, first {first!r}.")
        return images, rows
    if reading.draws_ahead:
        raise TooFewSeen(said)
    why = "; ".join(note for note in reading.notes if "as a pipeline on Pillow reads" in note)
    for row in rows[flat].tolist():
        reading.reject(
            names[row],
            f"expected pictures that show something, but {said}, most of a class"
            + (f" ({why.rstrip('.')})" if why else "")
            + "; nothing can be judged that was read as black or white: save them with 8 bits, "
            "values spread over 0..255",
        )
    left = torch.from_numpy(~flat)
    return images[left], rows[~flat]
