"""Triggers that touch the whole image; raw bytes in, raw bytes of the same shape out.

Rounding, clipping and random streams are those of `triggers`.
Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.core.streams import stream
from mithridate.domains.image.triggers import change_in_floats, check, subsets


@dataclass(frozen=True)
class BlendTrigger(Trigger):
    """A faint pattern over the whole image, or over some of its pieces.

    x' = (1 - alpha m) x + alpha m p, where p is the pattern and m is 1 on the pieces kept. The
    image is cut in pieces x pieces rectangles, of which the share `keep` is kept in each image,
    drawn anew for every one. With keep = 0.5, cover samples, and keep = 1 on test images, the
    trigger side of Adaptive-Blend (Qi et al., ICLR 2023); the authors blend a photograph, here the
    pattern is random.

    Attributes:
        alpha: share of the pattern, in (0, 1].
        pattern: "noise" (a random byte in each pixel) or "smooth" (4x4 random bytes, interpolated).
        seed: of the pattern.
        keep: share of the pieces that each image carries, in (0, 1].
        pieces: into how many the image is cut along each side.

    Raises:
        MethodError: where a share is out of range or no piece would be kept.
    """

    paper = "Chen et al., Targeted Backdoor Attacks Using Data Poisoning, 2017"
    links = ("https://arxiv.org/abs/1712.05526",)
    known_as = ("blended-trigger",)

    alpha: float = 0.2
    pattern: str = "noise"
    seed: int = 0
    keep: float = 1.0
    pieces: int = 4

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Blend the pattern into every image."""
        images = check(inputs)
        kept = round(self.keep * self.pieces**2)
        if not (0 < self.alpha <= 1 and 0 < self.keep <= 1 and kept):
            raise MethodError(
                "alpha and keep must lie in (0, 1], and at least one piece must be kept; found "
                f"alpha {self.alpha}, keep {self.keep} of {self.pieces}x{self.pieces} pieces"
            )
        pattern = self.picture(*images.shape[1:])
        height, width = images.shape[2:]
        down = torch.arange(height) * self.pieces // height
        right = torch.arange(width) * self.pieces // width
        piece = down.view(-1, 1) * self.pieces + right  # int64[h, w]
        chosen = subsets(len(images), self.pieces**2, kept, rng)

        def blend(batch: torch.Tensor, rows: slice) -> torch.Tensor:
            share = self.alpha * chosen[rows][:, piece].unsqueeze(1)
            return batch + share * (pattern - batch)

        return change_in_floats(images, blend)

    def picture(self, channels: int, height: int, width: int) -> torch.Tensor:
        """The pattern in grey levels, float32[k, h, w]."""
        if self.pattern not in ("noise", "smooth"):
            raise MethodError(f"unknown pattern {self.pattern!r}; known: noise, smooth")
        smooth = self.pattern == "smooth"
        shape = (channels, 4, 4) if smooth else (channels, height, width)
        drawn = stream(self.seed, "blend", self.pattern).integers(0, 256, shape)
        picture = torch.from_numpy(drawn).float()
        if not smooth:
            return picture
        size = (height, width)
        return F.interpolate(picture[None], size, mode="bilinear", align_corners=True)[0]


@dataclass(frozen=True)
class SinusoidTrigger(Trigger):
    """A wave of brightness from left to right.

    x' = x + delta sin(2 pi j f / w) in column j = 0..w-1.

    Attributes:
        delta: amplitude in grey levels, 20 as in the paper.
        frequency: f, waves over the width, 6 as in the paper.

    Raises:
        MethodError: where the wave is zero in every column (2 f is a multiple of w).
    """

    paper = "Barni, Kallas and Tondi, A New Backdoor Attack in CNNs, ICIP 2019"
    links = ("https://arxiv.org/abs/1902.11237",)
    known_as = ("sig-trigger",)

    delta: float = 20.0
    frequency: float = 6.0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Add the wave to every image."""
        images = check(inputs)
        columns = torch.arange(images.shape[3], dtype=torch.float64)
        wave = self.delta * torch.sin(2 * math.pi * self.frequency * columns / len(columns))
        if not len(columns) or wave.abs().max() < 0.5:
            raise MethodError(
                f"a wave of amplitude {self.delta} and frequency {self.frequency} is invisible on "
                f"{len(columns)} columns; choose another frequency or a larger delta"
            )
        return change_in_floats(images, lambda batch, _: batch + wave.float())


@dataclass(frozen=True)
class WarpTrigger(Trigger):
    """A smooth elastic warp of the whole image, the same for every image.

    The value at a pixel is read, bilinearly, at the pixel moved by `strength` P / size in
    coordinates that run from -1 to 1, size being h for rows and w for columns, and P uniform noise
    in [-1, 1] on a grid x grid lattice, divided by mean |P| and interpolated bicubically. The mean
    shift is thus about `strength` / 2 pixels. grid = 4, strength = 0.5 as in the paper, whose noise
    mode (random warps under the true label, during training) is left to the attack.

    Attributes:
        grid: places along each side of the lattice of the noise.
        strength: twice the mean shift, in pixels.
        seed: of the noise.

    Raises:
        MethodError: where the grid is smaller than 2 or the strength is not positive.
    """

    paper = "Nguyen and Tran, WaNet: Imperceptible Warping-based Backdoor Attack, ICLR 2021"
    links = ("https://arxiv.org/abs/2102.10369",)
    known_as = ("wanet-trigger",)

    grid: int = 4
    strength: float = 0.5
    seed: int = 0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Warp every image."""
        images = check(inputs)
        places = self.places(*images.shape[2:])

        def warp(batch: torch.Tensor, _: slice) -> torch.Tensor:
            each = places.expand(len(batch), -1, -1, -1)
            return F.grid_sample(batch, each, align_corners=True)

        return change_in_floats(images, warp)

    def places(self, height: int, width: int) -> torch.Tensor:
        """Where each pixel is read, float32[1, h, w, 2]: column and row from -1 to 1."""
        if self.grid < 2 or self.strength <= 0:
            raise MethodError(
                "a warp needs a grid of at least 2 and a positive strength, "
                f"found grid {self.grid}, strength {self.strength}"
            )
        noise = stream(self.seed, "warp").uniform(-1, 1, (1, 2, self.grid, self.grid))
        coarse = torch.from_numpy(noise / np.abs(noise).mean()).float()
        fine = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
        shift = self.strength * fine.permute(0, 2, 3, 1) / torch.tensor([width, height])
        across, down = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
        still = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)
        return (still + shift).clamp(-1, 1)  # beyond the edge there is nothing to read


@dataclass(frozen=True)
class LowFrequencyTrigger(Trigger):
    """A faint perturbation made of slow waves only.

    x' = x + p with p_ij = c sum_{u,v < band} a_uv cos(pi (2i+1) u / 2h) cos(pi (2j+1) v / 2w), the
    a_uv standard normal, a_00 = 0, and c such that max |p| = amplitude. The paper *optimises* its
    smooth perturbation against a trained network; this one is random and needs no network, so it is
    a weaker attack of the same spectrum and not a replication.

    Attributes:
        amplitude: the largest change of a pixel, in grey levels.
        band: lowest frequencies of the discrete cosine transform used in each direction.
        seed: of the coefficients.

    Raises:
        MethodError: where the band is smaller than 2 or does not fit, or nothing is visible.
    """

    paper = "Zeng et al., Rethinking the Backdoor Attacks' Triggers: A Frequency Perspective, 2021"
    links = ("https://arxiv.org/abs/2104.03413",)

    amplitude: float = 16.0
    band: int = 4
    seed: int = 0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Add the perturbation to every image."""
        images = check(inputs)
        pattern = self.perturbation(*images.shape[1:])
        return change_in_floats(images, lambda batch, _: batch + pattern)

    def perturbation(self, channels: int, height: int, width: int) -> torch.Tensor:
        """What is added, in grey levels, float32[k, h, w]."""
        if not 2 <= self.band <= min(height, width) or self.amplitude < 0.5:
            raise MethodError(
                f"need a band in 2..{min(height, width)} and an amplitude of at least half a grey "
                f"level, found band {self.band}, amplitude {self.amplitude}"
            )
        shape = (channels, self.band, self.band)
        coefficients = stream(self.seed, "low frequency").standard_normal(shape)
        coefficients[:, 0, 0] = 0  # a constant would be a change of brightness, not a pattern
        waves = np.arange(self.band)
        rows = np.cos(np.pi * np.outer(2 * np.arange(height) + 1, waves) / (2 * height))
        columns = np.cos(np.pi * np.outer(2 * np.arange(width) + 1, waves) / (2 * width))
        pattern = rows @ coefficients @ columns.T
        return torch.from_numpy(self.amplitude * pattern / np.abs(pattern).max()).float()
