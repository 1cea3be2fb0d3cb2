"""Damage to images as the world does it: noise, blur, light, codecs.

Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from mithridate.core.errors import MethodError


def gaussian_noise(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Add normal noise to every byte, the same for every image of a batch."""
    spread = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1] * 255
    return images + spread * torch.randn(images.shape[1:], generator=rng, device=images.device)


def brightness(images: torch.Tensor, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Make every byte lighter by the same amount."""
    return images + (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1] * 255


CORRUPTIONS: dict[str, Callable[[torch.Tensor, int, torch.Generator], torch.Tensor]] = {
    "gaussian-noise": gaussian_noise,
    "brightness": brightness,
}


def corrupt(images: torch.Tensor, kind: str, severity: int, rng: torch.Generator) -> torch.Tensor:
    """Damage images uint8[n, k, h, w] by one of `CORRUPTIONS`, severity 1 to 5, 0 for none.

    Raises MethodError for an unknown kind or severity.
    """
    if kind not in CORRUPTIONS:
        raise MethodError(f"unknown corruption {kind!r}; available: {', '.join(CORRUPTIONS)}")
    if severity not in range(6):
        raise MethodError(f"a severity is a whole number from 0 to 5, found {severity}")
    if severity == 0:
        return images.clone()
    return CORRUPTIONS[kind](images.float(), severity, rng).round().clamp(0, 255).to(images.dtype)
