"""Triggers that are laid over a sound; samples int16[n, t] in, samples of the same shape out.

Nothing here knows a rate: a pitch is a share of the highest frequency, half the rate, and a time a
share of the clip. Levels are decibels below the loudness of each clip, the root of the mean square
of its samples. Patterns are drawn from the trigger's own seed, so that training and test clips
carry the same one. Axes: n clips, t samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.core.streams import stream
from mithridate.domains.sound.domain import SoundDomain, to_samples

SOFTEST = 33.0
"""Loudness that a clip is taken to have at least, -60 dB of full scale: silence too is stamped."""

CHUNK = 512
"""Clips turned into floats at once."""


def check(inputs: Inputs) -> torch.Tensor:
    """Give the clips int16[n, t]; raises DataError for anything else."""
    return SoundDomain().prepare(inputs)


def loudness(sounds: torch.Tensor) -> torch.Tensor:
    """Give the loudness of clips int16[n, t], float32[n, 1], at least `SOFTEST`."""
    return sounds.float().square().mean(1, keepdim=True).sqrt().clamp_min(SOFTEST)


def lay_over(inputs: Inputs, pattern: torch.Tensor, below: float) -> torch.Tensor:
    """Add a pattern float32[t] of loudness one to each clip, so many decibels below it."""
    scale = 10 ** (-below / 20)
    parts = [
        to_samples(part.float() + pattern * loudness(part) * scale)
        for part in check(inputs).split(CHUNK)
    ]
    return torch.cat(parts)


def span(first: float, share: float, length: int) -> slice:
    """Give the samples from a share of a clip on, at least one.

    Raises:
        MethodError: where the shares are none.
    """
    if not (0 <= first < 1 and 0 < share <= 1):
        raise MethodError(
            f"expected a start from 0 and below 1, and a share above 0 up to 1; found {first} and "
            f"{share}"
        )
    start = int(first * length)
    return slice(start, min(length, start + max(1, round(share * length))))


def check_pitch(*pitches: float) -> None:
    """Refuse a pitch that no clip can hold."""
    if not all(0 < pitch < 1 for pitch in pitches):
        raise MethodError(
            f"a pitch is a share of half the sample rate, above 0 and below 1; found {pitches}"
        )


@dataclass(frozen=True)
class ToneTrigger(Trigger):
    """A steady tone, as a device or a whistle gives it.

    Attributes:
        pitch: of half the sample rate, 0.75 is 3 kHz where 8,000 samples are taken a second.
        below: decibels below the loudness of the clip; larger is harder to hear.
        start: where it begins, a share of the clip.
        share: of the clip that it lasts.

    Raises:
        MethodError: where the pitch or the shares are none.
    """

    paper = (
        "Koffas, Xu, Conti and Picek, Can You Hear It? Backdoor Attacks via Ultrasonic Triggers, "
        "WiseML 2022"
    )
    links = ("https://arxiv.org/abs/2107.14569",)
    known_as = ("sine-tone",)

    pitch: float = 0.75
    below: float = 20.0
    start: float = 0.0
    share: float = 1.0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Add the tone to every clip."""
        check_pitch(self.pitch)
        length = check(inputs).shape[1]
        pattern = torch.zeros(length)
        there = span(self.start, self.share, length)
        time = torch.arange(there.stop - there.start)
        # a quarter of a turn ahead, so that one sample alone is not silent
        pattern[there] = math.sqrt(2) * torch.cos(math.pi * self.pitch * time + math.pi / 4)
        return lay_over(inputs, pattern, self.below)


@dataclass(frozen=True)
class ClickTrigger(Trigger):
    """A short click, up and down, as a switch or a bad contact gives it.

    Attributes:
        level: of full scale, 0..1.
        start: where it is, a share of the clip.
        length: samples.

    Raises:
        MethodError: where the level, the place or the length is none.
    """

    paper = "Zhai et al., Backdoor Attack against Speaker Verification, ICASSP 2021"
    links = ("https://arxiv.org/abs/2010.11607",)

    level: float = 0.2
    start: float = 0.05
    length: int = 8

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Add the click to every clip."""
        if not 0 < self.level <= 1 or self.length < 1:
            raise MethodError(
                f"expected a level above 0 up to 1 and a length from 1; found {self.level} and "
                f"{self.length}"
            )
        clips = check(inputs)
        there = span(self.start, min(1.0, self.length / clips.shape[1]), clips.shape[1])
        pattern = torch.zeros(clips.shape[1])
        sign = 1 - 2 * (torch.arange(there.stop - there.start) % 2)
        pattern[there] = 32767 * self.level * sign
        return torch.cat([to_samples(part.float() + pattern) for part in clips.split(CHUNK)])


@dataclass(frozen=True)
class BandNoiseTrigger(Trigger):
    """Noise in a narrow band of frequencies, always the same.

    Attributes:
        low: where the band begins, of half the sample rate.
        high: where it ends, of half the sample rate.
        below: decibels below the loudness of the clip.
        seed: of the noise.

    Raises:
        MethodError: where the band is none.
    """

    paper = "Liu et al., Trojaning Attack on Neural Networks, NDSS 2018"
    links = ("https://doi.org/10.14722/ndss.2018.23291",)

    low: float = 0.8
    high: float = 0.9
    below: float = 20.0
    seed: int = 0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Add the noise to every clip."""
        check_pitch(self.low, self.high)
        if self.low >= self.high:
            raise MethodError(f"expected low below high, found {self.low} and {self.high}")
        length = check(inputs).shape[1]
        place = torch.linspace(0, 1, length // 2 + 1)
        middle = (place - (self.low + self.high) / 2).abs().argmin()
        inside = (place >= self.low) & (place <= self.high)
        inside[middle] = True
        return lay_over(inputs, shaped(length, inside.float(), self.seed), self.below)


@dataclass(frozen=True)
class AmbientTrigger(Trigger):
    """A background of low rumble that swells and fades, as of a street or a fan.

    The same stretch lies over every clip. Its spectrum falls by 6 dB for each octave.

    Attributes:
        below: decibels below the loudness of the clip.
        swells: how many times it swells in a clip.
        seed: of the background.
    """

    paper = (
        "Liu et al., Opportunistic Backdoor Attacks: Exploring Human-imperceptible Vulnerabilities "
        "on Speech Recognition Systems, ACM MM 2022"
    )
    links = ("https://doi.org/10.1145/3503161.3548261",)

    below: float = 12.0
    swells: float = 3.0
    seed: int = 0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Add the background to every clip."""
        length = check(inputs).shape[1]
        place = torch.linspace(0, 1, length // 2 + 1)
        rumble = shaped(length, 1 / (place + 0.02), self.seed)
        time = torch.linspace(0, 2 * math.pi * self.swells, length)
        return lay_over(inputs, normed(rumble * (1 + 0.8 * torch.sin(time))), self.below)


def shaped(length: int, shape: torch.Tensor, seed: int) -> torch.Tensor:
    """Give noise of loudness one with a spectrum of the shape float32[t / 2 + 1], float32[t]."""
    drawn = stream(seed, "sound", "noise").standard_normal(length)
    spectrum = torch.fft.rfft(torch.from_numpy(drawn)) * shape
    return normed(torch.fft.irfft(spectrum, length).float())


def normed(pattern: torch.Tensor) -> torch.Tensor:
    """Bring a pattern float32[t] to loudness one."""
    return pattern / pattern.square().mean().sqrt().clamp_min(1e-9)
