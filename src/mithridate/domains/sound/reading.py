"""How sounds come out of tables and out of requests.

Axes: t samples.
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
from mithridate.domains.formats.columns import SOUNDS, choose
from mithridate.domains.formats.sound_files import KINDS, decode
from mithridate.domains.formats.sounds import gather, refit
from mithridate.domains.formats.source import Limits, Reading
from mithridate.domains.registry import Table

__all__ = ["choose_columns", "gather", "requests"]

ROOM = 64
"""Times longer than what the model takes that a sound may be, before it is cut."""


def choose_columns(table: Table, reading: Reading) -> tuple[str, ...]:
    """Choose the column of encoded sounds, by its name where there are several."""
    heard = [c for c in table.columns if c != table.label and table.kinds[c] == "sound"]
    if reading.content is not None:
        return (reading.content,) if reading.content in heard else ()
    if not heard:
        return ()
    only = heard[0] if len(heard) == 1 else None
    return (choose("content", None, heard, SOUNDS, reading, only),)


def requests(form: tuple[int, ...]) -> SoundRequests:
    """Read sounds of one length (t,)."""
    return SoundRequests(form)


@dataclass(frozen=True)
class SoundRequests:
    """Reads sound files, in a body or in base64, and lists of samples.

    The rate of a file is not asked for: a request does not know that of the model.
    """

    form: tuple[int, ...]
    media: tuple[str, ...] = ("audio/",)

    def from_json(self, value: Any) -> torch.Tensor:
        """Read a file in base64, or a list of samples."""
        if not isinstance(value, str):
            return self._numbers(value)
        try:
            return self.from_body(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            raise DataError("expected a sound file in base64, found no base64") from None

    def from_body(self, body: bytes) -> torch.Tensor:
        """Decode a sound file, and cut it or fill it up with silence."""
        try:
            clip = decode(body, Limits(samples=ROOM * self.form[0]))
        except UnsafeData:
            raise DataError(f"expected a sound as {KINDS}, found one far too long") from None
        except DataError:
            raise DataError(f"expected a sound as {KINDS}, found none that is whole") from None
        return refit(torch.from_numpy(clip.samples)[None], self.form[0])[0]

    def stack(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Put sounds into one tensor int16[n, t]."""
        return torch.stack(list(inputs))

    def _numbers(self, value: Any) -> torch.Tensor:
        length = self.form[0]
        expected = f"expected a sound as {length} samples -32768 to 32767"
        try:
            numbers = np.array(value)
        except (ValueError, OverflowError):
            raise DataError(f"{expected}, found lists of several lengths") from None
        if numbers.dtype.kind not in "iu" or numbers.shape != (length,):
            raise DataError(f"{expected}, found something else")
        if numbers.min() < -32768 or numbers.max() > 32767:
            raise DataError(f"{expected}, found numbers beyond")
        return torch.from_numpy(numbers.astype(np.int16))
