"""One encoded image into pixels, as a training pipeline on Pillow sees it.

That pipeline is `Image.open(file).convert("RGB")`: alpha is dropped, so pixels hidden below a
transparent alpha are seen here as they would be in training; palettes, CMYK and two-level images
are converted; grey values beyond 8 bits are cut at 255, while 16-bit colours lose their lower 8
bits; an EXIF orientation is not applied; of several frames the first is read. What changes a
picture on the way is one of its traits, and is said of the whole data set.
Axes: k channels, h rows, w columns.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.spelling import raised
from mithridate.domains.formats.source import Limits

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
KINDS = "PNG, JPEG, WebP, BMP, GIF, TIFF or PPM"
SUFFIXES = frozenset(
    {
        ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm",
        ".pbm", ".pnm",
    }
)  # fmt: skip
ORIENTATION = 0x0112
TILE = (322, 323)
"""Tags of a TIFF image that say how wide and how long its tiles are."""

TRAITS = {
    "turned": "carry an EXIF orientation, which is not applied (most training pipelines do not "
    "apply it either)",
    "frames": "hold several frames or pages, of which the first was read",
    "deep grey": "hold grey values of more than 8 bits: all above 255 were read as 255, as a "
    "pipeline on Pillow reads them",
    "deep colour": "hold colours of 16 bits, of which the upper 8 were read, as a pipeline on "
    "Pillow reads them",
    "float": "hold floating-point values, which were cut to 0..255, as a pipeline on Pillow reads "
    "them",
}
"""What may be special about a picture, and how it is said of several."""

LEVELS, SHARE = 4, 0.99
"""A picture is constant where so many of its values lie within so many grey levels."""

FEWEST = 16
"""Pixels below which nobody can tell whether a picture is constant."""

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, eq=False)
class Picture:
    """One image that was decoded.

    Attributes:
        pixels: uint8[h, w, k], k = 1 or 3.
        traits: keys of TRAITS that hold for it.

    """

    pixels: Pixels
    traits: tuple[str, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether it shows (nearly) nothing."""
        return is_constant(self.pixels)


def is_constant(pixels: Pixels) -> bool:
    """Whether nearly all values uint8[h, w, k] of each channel lie within a few levels."""
    if pixels.shape[0] * pixels.shape[1] < FEWEST:
        return False
    return all(_is_flat(pixels[:, :, channel]) for channel in range(pixels.shape[2]))


def _is_flat(values: Pixels) -> bool:
    below = np.concatenate([[0], np.bincount(values.ravel(), minlength=256).cumsum()])
    together = below[LEVELS + 1 :] - below[: -LEVELS - 1]
    return bool(together.max() >= SHARE * values.size)


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize uint8[h, w, k] to uint8[size, size, k] with Pillow's bilinear filter."""
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels)
    resized = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return resized[:, :, None] if grey else resized


def decode(data: bytes, limits: Limits) -> Picture:
    """Decode one image; its size is taken from the header and checked before any pixel.

    Args:
        data: the file.
        limits: of what it may cost.

    Raises:
        UnsafeData: for an image of too many pixels.
        DataError: for anything that is not one whole image.
    """
    if not data:
        raise DataError("expected an image, found an empty file; replace or remove it")
    if data[:4] == b"RIFF":
        _check_size(*_webp_size(data), limits)  # Pillow makes room for a WebP when it opens it
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(*image.size, limits)
            tags = getattr(image, "tag_v2", {})
            width, height = (int(tags.get(tag, 0)) for tag in TILE)
            _check_size(width, height, limits)
            traits = _traits(image)
            return Picture(_pixels(image), traits)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise UnsafeData(f"expected an image of a sane size, found a bomb: {error}") from None
    except UnidentifiedImageError:
        raise DataError(
            f"expected a {KINDS} image, found something else; convert or remove it"
        ) from None
    except Exception as error:  # decoders of hostile bytes raise anything
        raise DataError(
            f"expected a whole image, found a broken or truncated one ({error}); "
            "replace or remove it"
        ) from None


def _traits(image: Image.Image) -> tuple[str, ...]:
    """Say what is special about an image, before its pixels are decoded."""
    holds = {
        "turned": _is_turned(image),
        "frames": getattr(image, "is_animated", False) and image.format != "MPO",
        "deep grey": image.mode.startswith("I"),
        "deep colour": not image.mode.startswith(("I", "F")) and _is_deep(image),
        "float": image.mode == "F",
    }
    return tuple(trait for trait, there in holds.items() if there)


def _is_deep(image: Image.Image) -> bool:
    """Whether the file holds more than 8 bits for each colour."""
    for codec, _, _, given in getattr(image, "tile", ()):
        args = given if isinstance(given, tuple) else (given,)
        if any(isinstance(each, str) and ";16" in each for each in args):
            return True
        if codec.startswith("ppm") and isinstance(args[-1], int) and args[-1] > 255:
            return True
    return False


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
    """Convert to grey where the three channels of RGB would be equal, else to RGB."""
    if image.mode.startswith(("1", "L", "I", "F")) and image.mode != "LAB":
        return np.asarray(image.convert("RGB"))[:, :, :1]
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
