"""Which images are copies of each other: the same picture, encoded again or resized.

A signature brings near what may be a copy; pixels decide. What an attacker draws on a picture must
not pass for encoding, so a copy may differ from its original as far as encoders and resizing do:
within the values around each pixel, at no single frequency, and little in colour. Flat pictures,
where nothing can be compared, are copies only where every byte is the same.
Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.fft import dctn

GRID, LOW = 8, 4
"""Cells of the small picture, and the lowest frequencies of it that are kept, in each direction."""

RADIUS = 5.0
"""Grey levels within which the signatures of copies lie."""

BATCH = 1024
LIGHT = (0.299, 0.587, 0.114)
"""What red, green and blue add to the brightness, by ITU-R BT.601, as JPEG has it."""

OUTSIDE = 50.0
"""Grey levels by which a pixel may leave the range of those around it in the other image.

JPEG of quality 75 keeps all of 600 images of each set within 45, and 50 in its place leaves a 3x3
patch and a white pixel on anything darker outside.
"""

WAVE = 2.0
"""Largest amplitude of one frequency in the change, in grey levels (root of the mean square).

It grows in images of fewer than 16 pixels, where a change has fewer frequencies to spread over.
"""

COLOUR = 40.0
"""Largest change of the colour of 4 x 4 pixels, in levels; encoders keep colour coarsely."""

SHARE, FLAT = 0.3, 4.0
"""Largest change as a share of the contrast, and the contrast below which an image is flat."""

SMALL, COARSE = 0.12, 0.3
"""A change above the first share of the contrast must be fine: at most so much of its square in the
lower half of the frequencies. That parts two digits that look alike from one that was encoded."""

SPREAD = ((0.01, 0.5), (0.04, 0.85))
"""Of the square of a change, the pixels of such a share that changed most hold at most so much.

A mark of few pixels holds it all. Of 600 images of each set, JPEG of quality 75 keeps all below the
two, and resizing by half and back from 0.75 nearly all.
"""


def signature(images: torch.Tensor) -> NDArray[np.float64]:
    """Give the coarse brightness and colour of uint8[n, k, h, w], float64[n, d].

    Copies lie within a distance of 1.
    """
    parts = [_signature(batch.float()) for batch in images.split(BATCH)]
    return np.concatenate(parts) if parts else np.zeros((0, LOW * LOW + 3))


def _signature(images: torch.Tensor) -> NDArray[np.float64]:
    light = light_of(images)
    small = F.adaptive_avg_pool2d(light, GRID)[:, 0].double().numpy()
    waves = dctn(small, axes=(1, 2), norm="ortho")[:, :LOW, :LOW].reshape(-1, LOW * LOW) / GRID
    colour = (images - light).mean((2, 3)).double().expand(-1, 3).numpy()
    return np.asarray(np.concatenate([waves, colour], 1) / RADIUS)


def alike(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Say which pairs of images uint8[n, k, h, w] are copies of each other, bool[n]."""
    pairs = zip(first.split(BATCH), second.split(BATCH), strict=True)
    parts = [_alike(a.float(), b.float()) for a, b in pairs]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.bool)


def _alike(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    one, other = light_of(first), light_of(second)
    change = one - other
    height, width = change.shape[-2:]
    waves = np.abs(dctn(change[:, 0].numpy(), axes=(1, 2), norm="ortho"))
    largest = torch.from_numpy(waves.max((1, 2), initial=0.0) / np.sqrt(height * width))
    fine = torch.from_numpy(_coarse(waves) <= COARSE)
    contrast = torch.minimum(one.flatten(1).std(1), other.flatten(1).std(1))
    cell = max(1, min(4, height // 4, width // 4))
    colour = F.avg_pool2d((first - one) - (second - other), cell).abs().amax((1, 2, 3))
    share = change.square().mean((1, 2, 3)).sqrt() / contrast.clamp_min(FLAT)
    outside = torch.maximum(_outside(one, other), _outside(other, one))
    return (
        (largest <= WAVE * max(1.0, 16 / min(height, width)))
        & (outside <= OUTSIDE)
        & (colour <= COLOUR)
        & (contrast >= FLAT)
        & (share <= SHARE)
        & (fine | (share <= SMALL))
        & _is_spread(change)
    )


def _is_spread(change: torch.Tensor) -> torch.Tensor:
    """Whether a change float32[n, 1, h, w] is no mark of few pixels, bool[n]."""
    squares = change.square().flatten(1)
    highest = squares.sort(1, descending=True).values.cumsum(1) / squares.sum(1, keepdim=True)
    spread = torch.ones(len(change), dtype=torch.bool)
    for pixels, most in SPREAD:
        last = max(1, round(pixels * squares.shape[1])) - 1
        spread &= ~(highest[:, last] > most)
    return spread


def _coarse(waves: NDArray[np.float32]) -> NDArray[np.float32]:
    """The share of a change that lies in the lower half of the frequencies float32[n, h, w]."""
    squares = waves**2
    low = squares[:, : (waves.shape[1] + 1) // 2, : (waves.shape[2] + 1) // 2].sum((1, 2))
    return np.asarray(low / np.maximum(squares.sum((1, 2)), 1e-9))


def light_of(images: torch.Tensor) -> torch.Tensor:
    """Brightness of float32[n, k, h, w], float32[n, 1, h, w]."""
    if images.shape[1] == 1:
        return images
    return (images * torch.tensor(LIGHT)[:, None, None]).sum(1, keepdim=True)


def _outside(image: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """By how much `other` leaves the range of the nine pixels around in `image`, float[n]."""
    padded = F.pad(image, (1, 1, 1, 1), mode="replicate")
    highest, lowest = F.max_pool2d(padded, 3, 1), -F.max_pool2d(-padded, 3, 1)
    return torch.maximum(other - highest, lowest - other).amax((1, 2, 3))
