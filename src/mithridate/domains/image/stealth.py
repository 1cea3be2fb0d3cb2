"""How far an image was changed, measured on its bytes.

Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from mithridate.core.errors import DataError

PEAK = 255.0
UNCHANGED = 100.0
"""The signal-to-noise ratio of an unchanged image in decibels, which would be infinite.

It is more than one step of one byte costs in an image of 224 x 224 in colour, 99.9 dB.
"""

SIDE, SPREAD = 11, 1.5
"""Of the window in which structure is compared."""

CHUNK = 2**21
"""Values compared at a time, so that the maps of their windows stay small."""


def difference(before: torch.Tensor, after: torch.Tensor) -> dict[str, torch.Tensor]:
    """Compare images uint8[n, k, h, w] with their changed twins, float64[n] for each measure.

    mse: mean squared difference of bytes, larger is easier to notice; psnr: 10 log10(255^2 / mse)
    in decibels, smaller is easier to notice, at most 100; ssim: structural similarity in -1..1,
    smaller is easier to notice; linf: the largest difference of a byte, 0..255, larger is easier to
    notice.

    Raises:
        DataError: where the shapes differ.
    """
    if before.shape != after.shape:
        raise DataError(
            "images can only be compared with their changed twins of the same shape: expected "
            f"{list(before.shape)}, found {list(after.shape)}; compare before images are resized"
        )
    rows = max(1, CHUNK // max(1, before[:1].numel()))
    parts = [
        _measures(first, second)
        for first, second in zip(before.split(rows), after.split(rows), strict=True)
    ]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _measures(before: torch.Tensor, after: torch.Tensor) -> dict[str, torch.Tensor]:
    first, second = before.double(), after.double()
    gap = (first - second).abs().flatten(1)
    mse = gap.square().mean(1)
    return {
        "psnr": (10 * torch.log10(PEAK**2 / mse)).clamp(max=UNCHANGED),
        "ssim": ssim(first, second),
        "mse": mse,
        "linf": gap.amax(1),
    }


def ssim(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Give the structural similarity of images float64[n, k, h, w] with bytes' range, float64[n].

    With means m, variances v and covariance c under a gaussian window of 11 x 11 and standard
    deviation 1.5, the mean over windows inside the image and over channels of
    (2 m1 m2 + a)(2 c + b) / ((m1^2 + m2^2 + a)(v1 + v2 + b)), a = (0.01 255)^2, b = (0.03 255)^2.
    Smaller images get the largest odd window that fits. As windows lie inside, a patch in a corner
    weighs next to nothing: read it beside the other measures. Wang, Bovik, Sheikh and
    Simoncelli 2004, on each channel instead of on grey values.
    """
    window = gaussian(min(SIDE, *first.shape[-2:]))
    mean1, mean2 = _blur(first, window), _blur(second, window)
    spread1 = _blur(first * first, window) - mean1.square()
    spread2 = _blur(second * second, window) - mean2.square()
    shared = _blur(first * second, window) - mean1 * mean2
    a, b = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    likeness = (2 * mean1 * mean2 + a) * (2 * shared + b)
    likeness /= (mean1.square() + mean2.square() + a) * (spread1 + spread2 + b)
    return likeness.flatten(1).mean(1)


def gaussian(side: int) -> torch.Tensor:
    """Give weights float64[s] of a gaussian that sum to one; s is `side` or the odd one below."""
    half = (side - 1) // 2
    weights = torch.exp(-0.5 * (torch.arange(-half, half + 1).double() / SPREAD).square())
    return weights / weights.sum()


def _blur(images: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Average over windows that lie inside, float64[n, k, h - s + 1, w - s + 1]."""
    n, channels, height, width = images.shape
    single = images.reshape(n * channels, 1, height, width)
    blurred = F.conv2d(F.conv2d(single, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return blurred.view(n, channels, *blurred.shape[-2:])
