"""How images come out of tables and out of requests.

Axes: k channels, h rows, w columns.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mithridate.core.errors import DataError, UnsafeData
from mithridate.domains.formats.columns import IMAGES, choose
from mithridate.domains.formats.decoding import KINDS, decode
from mithridate.domains.formats.images import gather
from mithridate.domains.formats.source import Limits, Reading
from mithridate.domains.registry import Table

__all__ = ["choose_columns", "gather", "requests"]


def choose_columns(table: Table, reading: Reading) -> tuple[str, ...]:
    """Choose the column of encoded images, by its name where there are several."""
    pictures = [c for c in table.columns if c != table.label and table.kinds[c] == "image"]
    if reading.content is not None:
        return (reading.content,) if reading.content in pictures else ()
    if not pictures:
        return ()
    only = pictures[0] if len(pictures) == 1 else None
    return (choose("content", None, pictures, IMAGES, reading, only),)


def requests(form: tuple[int, ...]) -> ImageRequests:
    """Read images of one shape (k, h, w)."""
    return ImageRequests(form)


@dataclass(frozen=True)
class ImageRequests:
    """Reads image files, in a body or in base64, and lists of bytes."""

    form: tuple[int, ...]
    media: tuple[str, ...] = ("image/",)

    def from_json(self, value: Any) -> torch.Tensor:
        """Read a file in base64, or lists of bytes k x h x w."""
        if not isinstance(value, str):
            return self._numbers(value)
        try:
            return self.from_body(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            raise DataError("expected an image file in base64, found no base64") from None

    def from_body(self, body: bytes) -> torch.Tensor:
        """Decode an image file."""
        channels, height, width = self.form
        what = f"an image of {width}x{height} pixels as {KINDS}"
        try:
            picture = decode(body, Limits(pixels=height * width))
        except UnsafeData:
            raise DataError(f"expected {what}, found one of more pixels") from None
        except DataError:
            raise DataError(f"expected {what}, found none that is whole") from None
        pixels = picture.pixels
        if pixels.shape[:2] != (height, width) or pixels.shape[2] > channels:
            shape = "x".join(map(str, pixels.shape))
            raise DataError(f"expected {what} and {channels} channels, found {shape}")
        if picture.constant:  # read as black, as 16 bits may be: no answer would be about it
            raise DataError(f"expected {what}, found one that is (nearly) constant")
        tensor = torch.from_numpy(np.array(pixels.transpose(2, 0, 1)))
        return tensor.expand(channels, -1, -1).contiguous()  # grey is read as RGB, as in training

    def stack(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Put images into one tensor uint8[n, k, h, w]."""
        return torch.stack(list(inputs))

    def _numbers(self, value: Any) -> torch.Tensor:
        expected = f"expected an image as lists of bytes 0 to 255 of the shape {list(self.form)}"
        try:
            numbers = np.array(value)
        except (ValueError, OverflowError):
            raise DataError(f"{expected}, found lists of several lengths") from None
        if numbers.dtype.kind not in "iu":
            raise DataError(f"{expected}, found something else than whole numbers")
        if numbers.shape != self.form:
            raise DataError(f"{expected}, found the shape {list(numbers.shape)[:8]}")
        if numbers.min() < 0 or numbers.max() > 255:
            raise DataError(f"{expected}, found numbers beyond")
        return torch.from_numpy(numbers.astype(np.uint8))
