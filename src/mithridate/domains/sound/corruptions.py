"""Damage to sounds as the world does it: noise, telephone lines, codecs, clipping, rooms.

Whatever is random is drawn once for all clips of a batch, so that no clip depends on the others.
Axes: n clips, t samples. Levels are samples of 16 bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from mithridate.core.errors import MethodError

FULL = 32768.0
"""A sample of full scale."""


WHOLE = math.log(256)
"""What mu-law makes of full scale."""


def loudness(sounds: torch.Tensor) -> torch.Tensor:
    """Give the root of the mean square of float[n, t], float[n, 1]."""
    power: torch.Tensor = sounds.square().mean(1, keepdim=True)
    return power.sqrt()


def noise(sounds: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Add white noise so many decibels below each clip."""
    below = (30.0, 25.0, 20.0, 15.0, 10.0)[severity - 1]
    drawn = torch.randn(sounds.shape[1], generator=rng, device=rng.device).to(sounds.device)
    return sounds + drawn * loudness(sounds) * 10 ** (-below / 20)


def low_pass(sounds: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Take away what is above a share of the frequencies that there are, as narrow lines do."""
    kept = (0.9, 0.75, 0.6, 0.45, 0.3)[severity - 1]
    spectrum = torch.fft.rfft(sounds)
    place = torch.linspace(0, 1, spectrum.shape[1], device=sounds.device)
    lower = spectrum * ((kept - place) / 0.05 + 0.5).clamp(0, 1)
    heard: torch.Tensor = torch.fft.irfft(lower, sounds.shape[1])
    return heard


def mu_law(sounds: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Round the companded samples, sign(x) log(1 + 255 |x|) / log 256, to few bits."""
    steps = 2 ** (8, 7, 6, 5, 4)[severity - 1] / 2 - 1
    share = (sounds / FULL).clamp(-1, 1)
    companded = share.sign() * (share.abs() * 255).log1p() / WHOLE
    rounded = (companded * steps).round() / steps
    heard: torch.Tensor = rounded.sign() * (rounded.abs() * WHOLE).expm1() / 255 * FULL
    return heard


def clipping(sounds: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Cut what is louder than a share of the loudest sample of each clip."""
    share = (0.7, 0.5, 0.35, 0.25, 0.15)[severity - 1]
    loudest = sounds.abs().amax(1, keepdim=True) * share
    return torch.minimum(torch.maximum(sounds, -loudest), loudest)


def echo(sounds: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Add what was heard a little earlier, softer, as walls give it back."""
    share = (0.15, 0.25, 0.35, 0.5, 0.65)[severity - 1]
    delay = max(1, min(sounds.shape[1] // 8, 800))
    later = torch.zeros_like(sounds)
    later[:, delay:] = sounds[:, :-delay]
    return sounds + share * later


CORRUPTIONS: dict[str, Callable[[torch.Tensor, int, torch.Generator], torch.Tensor]] = {
    "noise": noise,
    "low-pass": low_pass,
    "mu-law": mu_law,
    "clipping": clipping,
    "echo": echo,
}


def corrupt(sounds: torch.Tensor, kind: str, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Damage clips int16[n, t] by one of `CORRUPTIONS`, severity 1 to 5, 0 for none.

    Raises:
        MethodError: for an unknown kind or severity.
    """
    if kind not in CORRUPTIONS:
        raise MethodError(f"unknown corruption {kind!r}; available: {', '.join(CORRUPTIONS)}")
    if severity not in range(6):
        raise MethodError(f"a severity is a whole number from 0 to 5, found {severity}")
    if severity == 0 or not len(sounds):
        return sounds.clone()
    damaged = CORRUPTIONS[kind](sounds.float(), severity, rng)
    return damaged.round().clamp(-32768, 32767).to(torch.int16)
