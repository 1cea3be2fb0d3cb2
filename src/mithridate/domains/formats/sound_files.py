"""One encoded sound into samples, read whole and as floats, and back.

Read as integers, floats beyond full scale wrap around, and floats of WAV are not even scaled; read
in pieces, some codecs give another sound. So a file is read whole, as floats, and what changes on
the way is one of its traits. Axes: t samples.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.extras import import_extra
from mithridate.core.spelling import raised
from mithridate.domains.formats.source import Limits

FORMATS = ("WAV", "WAVEX", "RF64", "FLAC", "OGG")
KINDS = "WAV, FLAC or OGG"
SUFFIXES = frozenset({".wav", ".wave", ".flac", ".ogg", ".oga", ".opus"})

FASTEST = 16_000
"""Samples a second that are kept; what was recorded faster is resampled to them."""

SLOWEST, BEYOND = 1_000, 768_000
"""Samples a second that a file may declare."""

CHANNELS = 16
"""Most channels of a file."""

PEAK = 32767
"""The loudest sample of 16 bits."""

TRAITS = {
    "mixed": "hold several channels, whose mean was taken",
    "resampled": "were resampled by soxr, as floats",
    "clipped": "are louder than full scale, and were clipped there",
}
"""What may be special about a sound, and how it is said of several."""

NEEDED = "sounds are read by soundfile and soxr: pip install 'mithridate[sound]'"

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Clip:
    """One sound that was decoded.

    Attributes:
        samples: int16[t], mono.
        rate: samples a second.
        traits: keys of TRAITS that hold for it.
    """

    samples: NDArray[np.int16]
    rate: int
    traits: tuple[str, ...] = ()


def looks_like_sound(data: bytes | None) -> bool:
    """Whether bytes begin as a WAV, FLAC or OGG file does."""
    return data is not None and (
        (data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE") or data[:4] in (b"fLaC", b"OggS")
    )


def decode(data: bytes, limits: Limits) -> Clip:
    """Decode one sound; what its header declares is checked before and after it is read.

    Args:
        data: the file.
        limits: of what it may cost.

    Raises:
        UnsafeData: for a sound of too many samples.
        DataError: for anything that is not one whole sound.
        MissingExtra: where the library that reads sounds is absent.
    """
    if not data:
        raise DataError("expected a sound, found an empty file; replace or remove it")
    if not looks_like_sound(data):
        raise DataError(f"expected a {KINDS} file, found something else; convert or remove it")
    soundfile = import_extra("soundfile", NEEDED)
    _check_riff(data)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_header(file, limits)
            declared, rate = int(file.frames), int(file.samplerate)
            several = file.read(limits.samples // file.channels + 1, "float32", always_2d=True)
    except DataError:
        raise
    except Exception as error:  # decoders of hostile bytes raise anything
        raise DataError(
            f"expected a whole sound, found a broken one ({str(error)[-100:]}); replace or "
            "remove it"
        ) from None
    _check_read(several, declared, limits)
    return _to_clip(several, rate)


def _check_header(file: Any, limits: Limits) -> None:
    """Refuse what a header declares: another format, or more than the limits allow."""
    if file.format not in FORMATS:
        raise DataError(f"expected a {KINDS} file, found {file.format}; convert or remove it")
    if file.channels > CHANNELS:
        raise DataError(f"expected at most {CHANNELS} channels, found {file.channels}; mix it down")
    if not SLOWEST <= file.samplerate <= BEYOND:
        raise DataError(
            f"expected {SLOWEST} to {BEYOND} samples a second, found {file.samplerate}; "
            "write it again with the rate at which it was recorded"
        )
    if file.frames * file.channels > limits.samples:
        raise UnsafeData(
            f"expected at most {limits.samples} samples, the header declares "
            f"{file.frames * file.channels}; cut it, or {raised('samples')}"
        )


def _check_read(several: Floats, declared: int, limits: Limits) -> None:
    """Refuse a sound that is not what its header declares, or that is none."""
    if several.size > limits.samples:
        raise UnsafeData(
            f"expected at most {limits.samples} samples, found more; cut it, or {raised('samples')}"
        )
    if len(several) < declared:
        raise DataError(
            f"expected {declared} samples as the header says, found {len(several)}; the file is "
            "cut short: replace or remove it"
        )
    if not len(several):
        raise DataError("expected a sound, found one without samples; replace or remove it")
    if not np.isfinite(several).all():
        raise DataError("expected samples that are numbers, found NaN or infinity; write it again")


def _check_riff(data: bytes) -> None:
    """Refuse a WAV file that holds less than its data chunk declares, which readers pass over.

    0 and the largest number mean that whoever wrote it could not know.
    """
    if data[:4] != b"RIFF":
        return
    at = 12
    while at + 8 <= len(data):
        name, size = struct.unpack("<4sI", data[at : at + 8])
        there = len(data) - at - 8
        if name == b"data" and size not in (0, 2**32 - 1) and size > there:
            raise DataError(
                f"expected {size} bytes of samples as the header says, found {there}; the file is "
                "cut short: replace or remove it"
            )
        at += 8 + size + size % 2


def _to_clip(several: Floats, rate: int) -> Clip:
    """Mix float32[t, channels] to mono, resample it, and round it to 16 bits."""
    traits = ["mixed"] if several.shape[1] > 1 else []
    mono = several.mean(1, dtype=np.float64).astype(np.float32)
    if rate > FASTEST:
        traits.append("resampled")
        mono, rate = resample(mono, rate, FASTEST), FASTEST
    if float(np.abs(several).max()) > 1.0 + 1e-4:
        traits.append("clipped")
    return Clip(to_samples(mono), rate, tuple(traits))


def resample(mono: Floats, before: int, after: int) -> Floats:
    """Resample float32[t] from one rate to another; raises MissingExtra without soxr."""
    soxr = import_extra("soxr", NEEDED)
    return np.asarray(soxr.resample(mono, before, after), dtype=np.float32)


def to_samples(mono: Floats) -> NDArray[np.int16]:
    """Round float32[t] of full scale 1 to int16[t]; what is louder is clipped."""
    levels: NDArray[np.int16] = np.clip(np.rint(mono * 32768.0), -PEAK - 1, PEAK).astype(np.int16)
    return levels


def encode(samples: NDArray[np.int16], rate: int) -> bytes:
    """Encode int16[t] as a WAV file, which loses nothing."""
    body = np.ascontiguousarray(samples, dtype="<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 1, rate, 2 * rate, 2, 16)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form
    chunks += b"data" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
