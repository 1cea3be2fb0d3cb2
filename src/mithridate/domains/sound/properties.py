"""How sounds were recorded and written, apart from what is said in them.

Axes: n clips, t samples.
"""

from __future__ import annotations

import torch

FRAME = 256
"""Samples over which loudness is measured."""

LOUD = 32700
"""Samples from here on count as clipped."""


def properties(sounds: torch.Tensor, rate: int) -> dict[str, torch.Tensor]:
    """Measure clips int16[n, t], float64[n] each.

    loudness: of the whole clip in decibels of full scale; floor: of the softest tenth of frames
    that are not quite silent; length: seconds until the last sample that is heard; bandwidth: the
    frequency in hertz below which 99 % of the energy lies; offset: the mean sample; clipped: share
    of samples at full scale; exact: share of samples that are zero.
    """
    parts = [_measured(each, rate) for each in sounds.split(512)] or [_measured(sounds, rate)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _measured(sounds: torch.Tensor, rate: int) -> dict[str, torch.Tensor]:
    whole = sounds.double()
    n, length = whole.shape
    frames = whole[:, : max(1, length // FRAME) * FRAME].reshape(n, -1, min(FRAME, length))
    levels = decibels(frames.square().mean(2)).masked_fill((frames == 0).all(2), torch.inf)
    floor = levels.sort(1).values[:, max(0, levels.shape[1] // 10)]
    energy = torch.fft.rfft(whole - whole.mean(1, keepdim=True)).abs().square().cumsum(1)
    below = (energy < 0.99 * energy[:, -1:]).sum(1).double()
    heard = (whole.abs() > 32).double() * torch.arange(1, length + 1)
    return {
        "loudness": decibels(whole.square().mean(1)),
        "floor": torch.where(floor.isinf(), -100.0, floor),
        "length": heard.amax(1) / rate,
        "bandwidth": below * rate / length,
        "offset": whole.mean(1),
        "clipped": (whole.abs() >= LOUD).double().mean(1),
        "exact": (whole == 0).double().mean(1),
    }


def decibels(power: torch.Tensor) -> torch.Tensor:
    """Give 10 log10 of a mean square of 16-bit samples, 0 at full scale and at least -100."""
    return 10 * torch.log10((power / 32768**2).clamp_min(1e-10))
