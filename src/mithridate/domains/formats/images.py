"""Encoded images to bytes in memory and back.

An image is read as a training pipeline reads it that opens a file with Pillow and converts it to
grey or RGB: alpha is dropped, so pixels hidden below a transparent alpha are seen here as they
would be in training; palettes, CMYK and two-level images are converted; of 16 bits the upper 8 are
kept; an EXIF orientation is not applied (and noted). Animations are refused.
Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import option, raised
from mithridate.domains.formats.source import Limits, Reading

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
ORIENTATION = 0x0112

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def decode(data: bytes, limits: Limits) -> tuple[Pixels, bool]:
    """Decode one PNG, JPEG, WebP or BMP image into uint8[h, w, k], k = 1 or 3.

    The size is taken from the header and checked before any pixel is decoded. Also says whether
    an EXIF orientation was passed over. Raises UnsafeData for an image of too many pixels,
    DataError for anything that is not one whole image.
    """
    if not data:
        raise DataError("expected an image, found an empty file; replace or remove it")
    if data[:4] == b"RIFF":
        _check_size(*_webp_size(data), limits)  # Pillow makes room for a WebP when it opens it
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(*image.size, limits)
            if getattr(image, "is_animated", False) and image.format in ("PNG", "WEBP"):
                raise DataError(
                    "expected one image, found an animation; extract the frame you want"
                )
            return _pixels(image), _is_turned(image)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise UnsafeData(f"expected an image of a sane size, found a bomb: {error}") from None
    except UnidentifiedImageError:
        raise DataError(
            "expected a PNG, JPEG, WebP or BMP image, found something else; convert or remove it"
        ) from None
    except Exception as error:  # decoders of hostile bytes raise anything
        raise DataError(
            f"expected a whole image, found a broken or truncated one ({error}); "
            "replace or remove it"
        ) from None


def _is_turned(image: Image.Image) -> bool:
    """Whether EXIF says that the image should be shown in another orientation."""
    try:
        return "exif" in image.info and image.getexif().get(ORIENTATION, 1) != 1
    except Exception:  # broken EXIF says nothing, and the image is whole
        return False


def _check_size(width: int, height: int, limits: Limits) -> None:
    if width * height > limits.pixels:
        raise UnsafeData(
            f"expected at most {limits.pixels} pixels, found {width}x{height}; "
            f"shrink it, or {raised('pixels')}"
        )


def _webp_size(data: bytes) -> tuple[int, int]:
    kind, body = data[12:16], data[20:30]
    if kind == b"VP8X" and len(body) == 10:
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L" and len(body) >= 5:
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(body) == 10:
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    raise DataError("expected a WebP image, found a broken header; replace or remove it")


def _pixels(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64) >> 8
        return deep.clip(0, 255).astype(np.uint8)[:, :, None]
    if image.mode in ("1", "L", "LA"):
        return np.asarray(image if image.mode == "L" else image.convert("L"))[:, :, None]
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def encode(image: torch.Tensor) -> bytes:
    """Encode uint8[k, h, w] as a PNG, which loses nothing."""
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


class ImageStack:
    """Images of one size, collected in one piece of memory.

    Where grey and RGB images meet, all become RGB. With `size` every image is resized to size x
    size, bilinearly; without it all must have the size of the first.
    """

    def __init__(self, capacity: int, reading: Reading) -> None:
        self.capacity, self.reading = capacity, reading
        self.count, self.first = 0, ""
        self.kinds: set[int] = set()
        self.images = torch.empty(0, 1, 0, 0, dtype=torch.uint8)

    def add(self, pixels: Pixels, name: str) -> None:
        """Add one image uint8[h, w, k].

        Raises DataError where its size is not that of the first, or memory would run out.
        """
        size = self.reading.size
        if size and pixels.shape[:2] != (size, size):
            pixels = resize(pixels, size)
        height, width, channels = pixels.shape
        if not self.first:
            self.first, self.images = name, self._room(channels, height, width)
        if (height, width) != tuple(self.images.shape[2:]):
            expected = "x".join(map(str, reversed(self.images.shape[2:])))
            raise DataError(
                f"{name!r}: expected an image of {expected} pixels like {self.first!r}, found "
                f"{width}x{height}; {option('size', 32)} (or another) resizes all images to one "
                "size"
            )
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


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize uint8[h, w, k] to uint8[size, size, k] with Pillow's bilinear filter."""
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels)
    resized = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return resized[:, :, None] if grey else resized


def gather(
    encoded: Iterable[Callable[[], bytes]],
    labels: np.ndarray[Any, Any],
    names: Sequence[str],
    reading: Reading,
) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:
    """Decode images one by one; those without a label (negative) are passed over.

    Gives the images uint8[n, k, h, w] and the positions int64[n] of the rows that were kept.
    """
    stack = ImageStack(int((labels >= 0).sum()), reading)
    kept: list[int] = []
    turned = 0
    for row, fetch in enumerate(encoded):
        if labels[row] < 0:
            continue
        try:
            pixels, passed_over = decode(fetch(), reading.limits)
        except DataError as error:
            reading.reject(names[row], str(error), type(error))
            continue
        stack.add(pixels, names[row])
        kept.append(row)
        turned += passed_over
    if turned:
        reading.notes.append(
            f"{turned} images carry an EXIF orientation, which is not applied "
            "(most training pipelines do not apply it either)."
        )
    return stack.tensor(), np.array(kept, dtype=np.int64)
