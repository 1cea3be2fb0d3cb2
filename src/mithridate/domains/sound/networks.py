"""Networks of sounds, which begin with a log-mel spectrogram of 16-bit samples.

Axes: n clips, t samples, f frames, m mel bands.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.errors import MethodError

BANDS = 40
"""Mel bands of a spectrogram."""

FLOOR = 1e-6
"""Energy below which a band counts as silent; a sample of full scale is 1."""


def mel_filters(bands: int, window: int, rate: int) -> torch.Tensor:
    """Give triangles float32[window / 2 + 1, m] that are evenly spaced in mel, from 60 Hz on.

    mel = 2595 log10(1 + Hz / 700). Each triangle sums to one and takes at least the frequency
    next to its middle.
    """
    hertz = torch.linspace(0, rate / 2, window // 2 + 1, dtype=torch.float64)
    ends = 2595 * torch.log10(1 + torch.tensor([60.0, rate / 2], dtype=torch.float64) / 700)
    mel = torch.linspace(float(ends[0]), float(ends[1]), bands + 2, dtype=torch.float64)
    corners = 700 * (10 ** (mel / 2595) - 1)
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (hertz[:, None] - low) / (middle - low)
    falling = (high - hertz[:, None]) / (high - middle)
    filters = torch.minimum(rising, falling).clamp_min(0)
    nearest = (hertz[:, None] - middle).abs().argmin(0)
    filters[nearest, torch.arange(bands)] = filters[nearest, torch.arange(bands)].clamp_min(0.1)
    return (filters / filters.sum(0)).float()


class LogMel(nn.Module):
    """Samples [n, t] of 16 bits to the logarithm of mel bands float32[n, 1, m, f].

    Windows of 32 ms every 16 ms. What is quieter than `FLOOR` counts as silence, and the mean of a
    clip is taken off: a gain, or the level of a microphone, then changes little.

    Args:
        rate: samples a second.
    """

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.window = max(64, 2 ** round(torch.tensor(0.032 * rate).log2().item()))
        self.register_buffer("shape", torch.hann_window(self.window), persistent=False)
        filters = mel_filters(BANDS, self.window, rate)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Give spectrograms of at least 8 frames, around 0."""
        levels = self.levels(samples)
        return ((levels - levels.mean((1, 2), keepdim=True)) / 3.0)[:, None]

    def levels(self, samples: torch.Tensor) -> torch.Tensor:
        """Give the logarithms of the energy of bands, float32[n, m, f]."""
        sound = samples.float() / 32768
        short = 7 * (self.window // 2) - sound.shape[1]
        if short > 0:
            sound = F.pad(sound, (0, short))
        shape: torch.Tensor = self.get_buffer("shape")
        spectrum = torch.stft(
            sound, self.window, self.window // 2, window=shape, center=True,
            pad_mode="constant", return_complex=True,
        )  # fmt: skip
        power = spectrum.real.square() + spectrum.imag.square()
        mel = power.transpose(1, 2) @ self.get_buffer("filters") / shape.square().sum()
        return (mel + FLOOR).log().transpose(1, 2)


class Cnn(nn.Module):
    """Four convolutions over a spectrogram, the mean and the largest over what remains.

    Args:
        rate: samples a second.
        classes: how many.
        width: channels of the first convolution.
    """

    def __init__(self, rate: int, classes: int, width: int = 24) -> None:
        super().__init__()
        self.encode = LogMel(rate)
        sizes = [1, width, 2 * width, 3 * width, 4 * width]
        blocks: list[nn.Module] = []
        for first, second in pairwise(sizes):
            blocks += [
                nn.Conv2d(first, second, 3, padding=1, bias=False),
                nn.BatchNorm2d(second),
                nn.ReLU(),
            ]
            if len(blocks) < 12:
                blocks.append(nn.MaxPool2d(2))
        self.body = nn.Sequential(*blocks)
        self.head = nn.Linear(8 * width, classes)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        """Give logits float32[n, classes] of samples [n, t]."""
        logits: torch.Tensor = self.head(self.embed(samples))
        return logits

    def embed(self, samples: torch.Tensor) -> torch.Tensor:
        """Give the features float32[n, d] before the last layer."""
        maps = self.body(self.encode(samples))
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)


NETWORKS = {"cnn": Cnn}
"""Our networks of sounds."""


def build(name: str, rate: int, classes: int) -> nn.Module:
    """Build a network by its name, "cnn" or with another width than 24, as "cnn:8".

    Raises:
        MethodError: where there is none of that name, or the width is none.
    """
    kind, _, width = name.partition(":")
    if kind not in NETWORKS:
        raise MethodError(f"unknown network {name!r}; available: {', '.join(NETWORKS)}")
    if not width:
        return NETWORKS[kind](rate, classes)
    if not (width.isascii() and width.isdigit() and 1 <= int(width) <= 256):
        raise MethodError(f"expected a width from 1 to 256 after the colon, found {name!r}")
    return NETWORKS[kind](rate, classes, int(width))
