"""Damage to images as the world does it: noise, blur, light, codecs.

Kinds and degrees follow Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common
Corruptions and Perturbations, ICLR 2019, in their version for 32x32 images. Changed are: defocus,
whose disc has soft edges here; fog, whose cloud is made of enlarged noise; and saturation, which
only rises, so that damage grows with severity. Lengths in pixels grow with the shorter side.
Whatever is random is drawn once for all images of a batch, so that no image depends on the others.
Axes: n images, k channels, h rows, w columns. Grey levels run from 0 to 255.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.core.errors import MethodError

SIDE = 32
"""The side of the images whose blurs are given in pixels."""


def gaussian_noise(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Add normal noise to every byte, the same for every image of a batch."""
    spread = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1] * 255
    return images + spread * normal(images, rng)


def shot_noise(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Add the noise of counted light: its variance grows with the brightness.

    A normal number stands for the Poisson one, so that all images share what is drawn.
    """
    photons = (500.0, 250.0, 100.0, 75.0, 50.0)[severity - 1]
    return images + (images * 255 / photons).sqrt() * normal(images, rng)


def impulse_noise(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Set a share of the bytes to black or white."""
    share = (0.01, 0.02, 0.03, 0.05, 0.07)[severity - 1]
    drawn = torch.rand(images.shape[1:], generator=rng, device=rng.device).to(images.device)
    return images.masked_fill(drawn < share / 2, 0).masked_fill(drawn > 1 - share / 2, 255)


def gaussian_blur(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Smooth by a normal kernel."""
    width = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1] * scale(images)
    return blur(images, 4 * width, lambda squared: torch.exp(-squared / (2 * width**2)))


def defocus_blur(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Smooth by a disc, as a lens out of focus does."""
    radius = (0.6, 0.8, 1.0, 1.3, 1.6)[severity - 1] * scale(images)
    return blur(images, radius + 1, lambda squared: (radius + 0.5 - squared.sqrt()).clamp(0, 1))


def fog(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Lay a cloud over each image, whose brightest byte stays as bright as it was."""
    amount, decay = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))[severity - 1]
    brightest = images.amax((1, 2, 3), keepdim=True)
    lighter = images + 255 * amount * cloud(images, decay, rng)
    return lighter * brightest / (brightest + 255 * amount)


def brightness(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Make every byte lighter by the same amount."""
    return images + (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1] * 255


def contrast(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Draw every byte towards the mean of its channel."""
    share = (0.75, 0.5, 0.4, 0.3, 0.15)[severity - 1]
    mean = images.mean((2, 3), keepdim=True)
    return mean + share * (images - mean)


def saturate(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Draw every byte away from the grey of its pixel; an image without colour stays as it is."""
    factor = (1.3, 1.6, 2.0, 2.5, 3.0)[severity - 1]
    grey = images.mean(1, keepdim=True)
    return grey + factor * (images - grey)


def pixelate(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Make the image smaller by means over areas, and enlarge it again without smoothing."""
    share = (0.95, 0.9, 0.85, 0.75, 0.65)[severity - 1]
    height, width = images.shape[2:]
    few = F.adaptive_avg_pool2d(images, (max(1, int(share * height)), max(1, int(share * width))))
    return F.interpolate(few, (height, width), mode="nearest")


def jpeg(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Write each image as JPEG of low quality, and read it again."""
    from PIL import Image

    quality = (80, 65, 58, 50, 40)[severity - 1]
    read = np.empty(images.shape, dtype=np.uint8)
    for row, levels in enumerate(images.byte().cpu().numpy()):
        written = io.BytesIO()
        plane = levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0)
        Image.fromarray(np.ascontiguousarray(plane)).save(written, "JPEG", quality=quality)
        again = np.asarray(Image.open(written, formats=("JPEG",)))
        read[row] = again[None] if again.ndim == 2 else again.transpose(2, 0, 1)
    return torch.from_numpy(read).float().to(images.device)


CORRUPTIONS: dict[str, Callable[[torch.Tensor, int, torch.Generator], torch.Tensor]] = {
    "gaussian-noise": gaussian_noise,
    "shot-noise": shot_noise,
    "impulse-noise": impulse_noise,
    "gaussian-blur": gaussian_blur,
    "defocus-blur": defocus_blur,
    "fog": fog,
    "brightness": brightness,
    "contrast": contrast,
    "saturate": saturate,
    "pixelate": pixelate,
    "jpeg": jpeg,
}


def corrupt(images: torch.Tensor, kind: str, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Damage images uint8[n, k, h, w] by one of `CORRUPTIONS`, severity 1 to 5, 0 for none.

    Raises:
        MethodError: for an unknown kind or severity.
    """
    if kind not in CORRUPTIONS:
        raise MethodError(f"unknown corruption {kind!r}; available: {', '.join(CORRUPTIONS)}")
    if severity not in range(6):
        raise MethodError(f"a severity is a whole number from 0 to 5, found {severity}")
    if severity == 0 or not len(images):
        return images.clone()
    return CORRUPTIONS[kind](images.float(), severity, rng).round().clamp(0, 255).to(images.dtype)


def scale(images: torch.Tensor) -> float:
    """How many times longer the shorter side is than `SIDE`."""
    return min(images.shape[2:]) / SIDE


def normal(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Standard normal numbers for one image, float32[k, h, w]."""
    return torch.randn(images.shape[1:], generator=rng, device=rng.device).to(images.device)


def blur(
    images: torch.Tensor, reach: float, weight: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Smooth by a round kernel; beyond the edge an image goes on as it ended.

    Args:
        reach: pixels after which the weights are negligible.
        weight: of a squared distance.
    """
    radius = max(1, int(reach))
    along = torch.arange(-radius, radius + 1, device=images.device).float()
    kernel = weight(along.square().view(-1, 1) + along.square())
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, -1, -1)
    padded = F.pad(images, [radius] * 4, mode="replicate")
    return F.conv2d(padded, kernel, groups=images.shape[1])


def cloud(images: torch.Tensor, decay: float, rng: torch.Generator) -> torch.Tensor:
    """Noise whose coarse parts are strong, from 0 to 1, float32[h, w].

    Args:
        decay: by what each halving of the grain weakens it.
    """
    height, width = images.shape[2:]
    total = torch.zeros(1, 1, height, width)
    grain, strength = 2, 1.0
    while grain <= min(height, width):
        drawn = torch.rand((1, 1, grain, grain), generator=rng, device=rng.device).cpu()
        total += strength * F.interpolate(drawn, (height, width), mode="bilinear")
        grain, strength = 2 * grain, strength / decay
    total -= total.min()
    return (total / total.max().clamp_min(1e-6))[0, 0].to(images.device)
