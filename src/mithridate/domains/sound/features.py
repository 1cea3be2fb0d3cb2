"""Simple features of sounds: what is heard where, lasting tones, steady noise and clicks.

A feature must not hang on where a word begins or how loud it is, so levels are set beside the
clip's own middle. Axes: n clips, t samples, b bands, p pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.core.errors import DataError
from mithridate.core.features import Carried, Integers, Selected

WINDOW = 256
"""Samples of a window: bins of 31 Hz where 8,000 samples are taken a second."""

BANDS, PLACES, SHADES = 8, 8, 4
"""What a clip is about: the level of wide bands at places, in so many levels."""

STEP = 6.0
"""Decibels between two levels of a feature."""

NARROW = 9.0
"""Decibels by which a lasting tone stands above the bins beside it."""

CLICK = 6.0
"""Times the usual jump of a clip that a click is larger than."""

GRID = 32
"""Places of a clip at which a click is told."""

CHUNK = 256
"""Clips looked at together."""

COARSE, FLOOR, LINE, JUMP = range(1, 5)
KIND, PLACE = 60, 32
"""Bits of a key after which its kind and its place begin; its code is below."""

SIDE, FARTHEST = 32, 12.0
"""Bands and places of details, and decibels beyond which they are cut."""


def simple_features(sounds: torch.Tensor, rate: int, selected: Selected) -> Iterator[Carried]:
    """Give families of simple features of clips int16[n, t], the level of wide bands first."""
    for family in (_coarse, _quiet, _lines, _jumps):
        pieces = [family(part, start) for part, start in _parts(sounds)]
        rows, keys = (
            np.concatenate([each[side] for each in pieces] or [np.zeros(0, dtype=np.int64)])
            for side in (0, 1)
        )
        order = np.argsort(rows, kind="stable")
        yield selected.collect(rows[order], keys[order])


def _parts(sounds: torch.Tensor) -> Iterator[tuple[torch.Tensor, int]]:
    for start in range(0, len(sounds), CHUNK):
        yield sounds[start : start + CHUNK].float() / 32768, start


def _pairs(
    there: torch.Tensor, kind: int, code: torch.Tensor, start: int
) -> tuple[Integers, Integers]:
    """Give rows and keys of bool[n, places] and codes int64[n, places]."""
    row, place = there.nonzero(as_tuple=True)
    key = (kind << KIND) | (place << PLACE) | code[row, place]
    return (row + start).numpy(), key.numpy()


def spectrum(sounds: torch.Tensor) -> torch.Tensor:
    """Give levels in decibels of full scale, float32[n, bin, frame], at least -90."""
    window = torch.hann_window(WINDOW)
    short = max(0, WINDOW - sounds.shape[1])
    parts = torch.stft(
        F.pad(sounds, (0, short)), WINDOW, WINDOW // 2, window=window, center=False,
        return_complex=True,
    )  # fmt: skip
    return 10 * torch.log10(parts.abs().square() / window.sum().square() * 4 + 1e-9)


def _coarse(sounds: torch.Tensor, start: int) -> tuple[Integers, Integers]:
    """Wide bands at places, as far above the middle of the clip as they are."""
    levels = F.adaptive_avg_pool2d(spectrum(sounds), (BANDS, PLACES)).flatten(1)
    above = (levels - levels.mean(1, keepdim=True)) / (2 * STEP)
    code = (above.round().long() + SHADES // 2).clamp(0, SHADES - 1)
    return _pairs(torch.ones_like(code, dtype=torch.bool), COARSE, code, start)


def _quiet(sounds: torch.Tensor, start: int) -> tuple[Integers, Integers]:
    """How loud bins are at their softest tenth, in 32 bands: what lies under all that is said."""
    levels = spectrum(sounds).quantile(0.1, dim=2)
    bands = F.adaptive_avg_pool1d(levels, 32)
    code = ((bands + 90) / STEP).long().clamp(0, 15)
    return _pairs(torch.ones_like(code, dtype=torch.bool), FLOOR, code, start)


def _lines(sounds: torch.Tensor, start: int) -> tuple[Integers, Integers]:
    """Bins that stand above those beside them in most frames: lasting tones."""
    levels = F.pad(spectrum(sounds), (0, 0, 5, 5), value=-90.0)
    beside = torch.maximum(levels[:, :-10], levels[:, 10:])
    above = levels[:, 5:-5] - beside
    steady = above.median(2).values
    return _pairs(steady > NARROW, LINE, torch.zeros_like(steady).long(), start)


def _jumps(sounds: torch.Tensor, start: int) -> tuple[Integers, Integers]:
    """Places at which a clip jumps far more than it does elsewhere: clicks."""
    bend = F.pad((sounds[:, 2:] - 2 * sounds[:, 1:-1] + sounds[:, :-2]).abs(), (1, 1))
    short = -bend.shape[1] % GRID
    cells = F.pad(bend, (0, short)).reshape(len(bend), GRID, -1).amax(2)
    beside = torch.maximum(F.pad(cells, (1, 0))[:, :-1], F.pad(cells, (0, 1))[:, 1:])
    clear = (cells > CLICK * beside.clamp_min(1e-3)) & (cells > 0.02)
    return _pairs(clear, JUMP, torch.zeros_like(cells).long(), start)


def name_feature(sounds: torch.Tensor, rate: int, key: int) -> str:
    """Say which feature has a key.

    Raises:
        DataError: where it is none of sounds.
    """
    kind, place, code = key >> KIND, (key >> PLACE) & ((1 << (KIND - PLACE)) - 1), key & 0xFFFFFFFF
    seconds = sounds.shape[1] / rate
    if kind == COARSE and place < BANDS * PLACES:
        low, wide = place // PLACES * rate / 2 / BANDS, rate / 2 / BANDS
        at = (place % PLACES) * seconds / PLACES
        return f"level {code + 1} of {SHADES} at {low:.0f} to {low + wide:.0f} Hz, {at:.2f} s"
    if kind == FLOOR and place < 32:
        low, wide = place * rate / 64, rate / 64
        level = code * STEP - 90
        return f"a steady {level:.0f} dB or little more at {low:.0f} to {low + wide:.0f} Hz"
    if kind == LINE and place <= WINDOW // 2:
        return f"a lasting tone at {place * rate / WINDOW:.0f} Hz"
    if kind == JUMP and place < GRID:
        return f"a click at {place * seconds / GRID:.2f} to {(place + 1) * seconds / GRID:.2f} s"
    raise DataError(f"{key} is no feature of sounds of {sounds.shape[1]} samples")


def details(sounds: torch.Tensor) -> torch.Tensor:
    """Give how far bands at places are from the mean of the nine around, float32[n, d].

    In shares of `FARTHEST` decibels, at most 1 to either side.
    """
    parts = [torch.zeros(0, SIDE * SIDE)]
    for part, _ in _parts(sounds):
        levels = F.adaptive_avg_pool2d(spectrum(part), (SIDE, SIDE))[:, None]
        around = F.avg_pool2d(F.pad(levels, [1] * 4, mode="replicate"), 3, 1)
        apart = (levels - around).clamp(-FARTHEST, FARTHEST) / FARTHEST
        parts.append(apart.flatten(1))
    return torch.cat(parts)
