"""Files that hold one input each: images and sounds, told by the end of their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from mithridate.core.errors import DataError
from mithridate.domains.formats import decoding, images, sound_files, sounds
from mithridate.domains.formats.source import Layout, Reading
from mithridate.domains.formats.walk import Entry, name_path

SUFFIXES = decoding.SUFFIXES | sound_files.SUFFIXES
"""Of images and of sounds."""

KINDS = f"{decoding.KINDS}; {sound_files.KINDS}"
EXPECTED = f"a picture ({decoding.KINDS}) or a sound ({sound_files.KINDS})"


def is_sound(entry: Entry) -> bool:
    """Whether a file is a sound by its name."""
    return entry.suffix.lower() in sound_files.SUFFIXES


def domain_of_files(entries: Sequence[Entry], reading: Reading) -> str:
    """Say whether files are images or sounds.

    Raises:
        DataError: where they are both.
    """
    heard = [entry for entry in entries if is_sound(entry)]
    if heard and len(heard) < len(entries):
        seen = next(entry for entry in entries if not is_sound(entry))
        raise DataError(
            f"{str(reading.root)!r}: expected pictures or sounds, found both, "
            f"{name_path(seen, reading.root)!r} and {name_path(heard[0], reading.root)!r}; put "
            "each kind into a folder of its own"
        )
    return "sound" if heard else "image"


def gather(
    domain: str, encoded: Iterable[Callable[[], bytes]], labels: np.ndarray[Any, Any],
    names: Sequence[str], reading: Reading, wanted: np.ndarray[Any, Any],
) -> tuple[torch.Tensor, np.ndarray[Any, Any]]:  # fmt: skip
    """Decode images or sounds one by one; see `images.gather` and `sounds.gather`."""
    decode = sounds.gather if domain == "sound" else images.gather
    return decode(encoded, labels, names, reading, wanted)


def encode(each: torch.Tensor, layout: Layout) -> bytes:
    """Encode uint8[k, h, w] as PNG and int16[t] as WAV, which lose nothing."""
    if each.dtype == torch.int16:
        return sound_files.encode(each.numpy(), layout.rate)
    return images.encode(each)


def suffix_of(inputs: Any) -> str:
    """Give the end of the names of files that `encode` makes of inputs."""
    return ".wav" if inputs.dtype == torch.int16 else ".png"
