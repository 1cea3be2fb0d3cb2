"""Triggers that change the sound itself: echo and another pitch.

Axes: n clips, t samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.sound.domain import to_samples
from mithridate.domains.sound.triggers import CHUNK, check

WINDOW = 512
"""Samples of a window in which the pitch is changed."""


@dataclass(frozen=True)
class EchoTrigger(Trigger):
    """The sound heard again, softer and later, several times.

    Attributes:
        delay: samples between one and the next.
        gain: loudness of each echo, of the one before.
        count: how many.

    Raises:
        MethodError: where there is no delay, no gain or no echo.
    """

    paper = (
        "Koffas, Pajola, Picek and Conti, Going In Style: Audio Backdoors Through Stylistic "
        "Transformations, ICASSP 2023"
    )
    links = ("https://arxiv.org/abs/2211.03117",)
    known_as = ("reverb",)

    delay: int = 400
    gain: float = 0.6
    count: int = 3

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Add the echoes to every clip; what comes after its end is lost."""
        if self.delay < 1 or not 0 < self.gain <= 1 or self.count < 1:
            raise MethodError(
                "expected a delay and a count from 1 and a gain above 0 up to 1; found "
                f"{self.delay}, {self.count} and {self.gain}"
            )
        parts = []
        for part in check(inputs).split(CHUNK):
            whole = sound = part.float()
            for number in range(1, self.count + 1):
                late = min(self.delay * number, sound.shape[1])
                moved = torch.nn.functional.pad(sound, (late, 0))[:, : sound.shape[1]]
                whole = whole + self.gain**number * moved
            parts.append(to_samples(whole))
        return torch.cat(parts)


@dataclass(frozen=True)
class PitchTrigger(Trigger):
    """The sound at another pitch, as long as it was, as a changed voice has it.

    A phase vocoder stretches the clip, and resampling brings it back to its length (Flanagan and
    Golden 1966).

    Attributes:
        semitones: up, or down where negative, not 0.

    Raises:
        MethodError: where the pitch stays, or moves by more than two octaves.
    """

    paper = (
        "Cai et al., Stealthy Backdoor Attacks Against Speech Recognition via Pitch Boosting and "
        "Sound Masking, 2022"
    )
    links = ("https://arxiv.org/abs/2211.08697",)
    known_as = ("pitch-shift",)

    semitones: float = 5.0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Move the pitch of every clip."""
        if not 0 < abs(self.semitones) <= 24:
            raise MethodError(f"expected up to 24 semitones, and not 0; found {self.semitones}")
        factor = 2 ** (self.semitones / 12)
        parts = [to_samples(shifted(part.float(), factor)) for part in check(inputs).split(CHUNK)]
        return torch.cat(parts)


def shifted(sounds: torch.Tensor, factor: float) -> torch.Tensor:
    """Multiply the pitch of float32[n, t] by a factor."""
    n, length = sounds.shape
    if not n:
        return sounds
    stretched = _stretched(sounds, factor)
    place = torch.arange(length) * factor
    left = place.long().clamp_max(stretched.shape[1] - 1)
    right = (left + 1).clamp_max(stretched.shape[1] - 1)
    share = place - place.floor()
    return stretched[:, left] * (1 - share) + stretched[:, right] * share


def _stretched(sounds: torch.Tensor, factor: float) -> torch.Tensor:
    """Make float32[n, t] longer by a factor without changing its pitch."""
    length, hop = sounds.shape[1], WINDOW // 4
    window = torch.hann_window(WINDOW)
    padded = torch.nn.functional.pad(sounds, (0, max(0, WINDOW - length)))
    spectrum = torch.stft(
        padded, WINDOW, hop, window=window, pad_mode="constant", return_complex=True
    )
    steps = torch.arange(0, spectrum.shape[2] - 1e-6, 1 / factor)
    first = steps.long()
    ahead = torch.nn.functional.pad(spectrum, (0, 1))
    share = (steps - first).to(torch.float32)
    size = ahead[..., first].abs() * (1 - share) + ahead[..., first + 1].abs() * share
    expected = 2 * math.pi * hop * torch.arange(WINDOW // 2 + 1)[:, None] / WINDOW
    turned = ahead[..., first + 1].angle() - ahead[..., first].angle() - expected
    turned = turned - 2 * math.pi * (turned / (2 * math.pi)).round() + expected
    phase = turned.cumsum(2) - turned + spectrum[..., :1].angle()
    return torch.istft(
        torch.polar(size, phase), WINDOW, hop, window=window,
        length=max(1, math.ceil(padded.shape[1] * factor)),
    )  # fmt: skip
