"""How sounds look and sound on a page: spectrograms as PNG, and WAV that the browser plays.

Axes: n clips, t samples.
"""

from __future__ import annotations

import base64
import io
import math
import wave
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mithridate.core.showing import spread_evenly
from mithridate.domains.sound.networks import FLOOR, LogMel

WIDE, HIGH = 160, 80
"""Pixels of a spectrogram."""

BUDGET = 3_000_000
"""Characters of all sounds of a page."""

PLAYED = 48_000
"""Samples of a clip that are played."""


SETTINGS = ("rate",)
"""Of the domain, that `show` takes."""


def show(inputs: torch.Tensor, rate: int = 8000) -> Sounds:
    """Show raw sounds."""
    return Sounds(inputs, rate)


@dataclass(frozen=True, eq=False)
class Sounds:
    """Clips int16[n, t] of one rate."""

    inputs: torch.Tensor
    rate: int
    kind: ClassVar[str] = "sounds"

    def room(self, classes: int) -> int:
        """At most 12, fewer where clips are long."""
        weight = 4 * 2 * min(self.inputs.shape[1], PLAYED) // 3
        return max(2, min(12, BUDGET // (classes * max(1, weight)) // 2))

    def card(self, row: int, contrast: dict[str, Any]) -> dict[str, Any]:
        """Give the sound and its spectrogram, both as addresses that hold them.

        Returns:
            audio: of a WAV file; src, width, height: of the picture; seconds: of the clip;
            played: of them, 0 where it is all.
        """
        samples = self.inputs[row]
        kept = samples[:PLAYED].numpy()
        address = "data:audio/wav;base64," + base64.b64encode(_wav(kept, self.rate)).decode()
        cut = PLAYED / self.rate if len(samples) > PLAYED else 0
        picture = _png(_levels(samples[None], self.rate)[0])
        seconds = round(len(samples) / self.rate, 2)
        return {"audio": address, "seconds": seconds, "played": round(cut, 1), **picture}

    def contrast(self, suspects: torch.Tensor, rest: torch.Tensor) -> dict[str, Any]:
        """Average the spectrograms of both groups, and stretch their difference around grey.

        `largest` is the largest difference of the averages in decibels.
        """
        if not len(suspects) or not len(rest):
            return {}
        first, second = self._mean(suspects), self._mean(rest)
        gap = first - second
        largest = float(gap.abs().max())
        low, high = min(first.min(), second.min()), max(first.max(), second.max())
        pictures = {
            "suspects": (first - low) / (high - low).clamp_min(1e-9),
            "rest": (second - low) / (high - low).clamp_min(1e-9),
            "difference": 0.5 + gap / (2 * max(largest, 1e-9)),
        }
        return {"largest": round(largest, 1), **{n: _png(p) for n, p in pictures.items()}}

    def _mean(self, rows: torch.Tensor) -> torch.Tensor:
        chosen = spread_evenly(rows)
        parts = [_decibels(self.inputs[part], self.rate).sum(0) for part in chosen.split(128)]
        return torch.stack(parts).sum(0) / len(chosen)


def _decibels(sounds: torch.Tensor, rate: int) -> torch.Tensor:
    """Give the mel bands of clips in decibels, float32[n, band, frame]."""
    with torch.no_grad():
        levels: torch.Tensor = LogMel(rate).levels(sounds)
    return levels * (10 / math.log(10))


def _levels(sounds: torch.Tensor, rate: int) -> torch.Tensor:
    """Give the mel bands of clips from 0, silent, to 1, the loudest."""
    levels = _decibels(sounds, rate)
    floor = 10 * math.log10(FLOOR)
    loudest = levels.amax((1, 2), keepdim=True)
    return (levels - floor) / (loudest - floor).clamp_min(1e-9)


def _wav(samples: NDArray[np.int16], rate: int) -> bytes:
    """Write int16[t] as a WAV file."""
    kept = io.BytesIO()
    with wave.open(kept, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return kept.getvalue()


def _png(shades: torch.Tensor) -> dict[str, Any]:
    """Draw shades 0..1, low bands at the bottom, as the address of a PNG."""
    grey = (shades.flip(0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    picture = Image.fromarray(grey).resize((WIDE, HIGH), Image.Resampling.BILINEAR)
    kept = io.BytesIO()
    picture.save(kept, "PNG", optimize=True)
    address = "data:image/png;base64," + base64.b64encode(kept.getvalue()).decode("ascii")
    return {"src": address, "width": WIDE, "height": HIGH, "reduced": WIDE}
