"""What kind of images these are, apart from what they show: how they were lit, taken and encoded.

Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

import torch

from mithridate.domains.image.copies import BATCH, light_of

BLOCK = 8
"""Pixels along the side of the blocks in which JPEG encodes."""


def properties(images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Measure uint8[n, k, h, w], float64[n] for each property.

    brightness: the mean; contrast: the standard deviation; sharpness: the mean change from pixel to
    pixel as a share of the contrast; levels: how many grey values occur; saturation: the mean
    distance of the largest and the smallest channel, of colour images; blocks: how much larger
    changes are where blocks of 8 pixels meet, of images that have more than one.
    """
    parts = [_measured(batch.float()) for batch in images.split(BATCH)] or [
        _measured(images[:0].float())
    ]
    return {name: torch.cat([part[name] for part in parts]).double() for name in parts[0]}


def _measured(images: torch.Tensor) -> dict[str, torch.Tensor]:
    light = light_of(images)[:, 0]
    down, across = light.diff(dim=1).abs(), light.diff(dim=2).abs()
    contrast = light.flatten(1).std(1, correction=0)
    steps = (_mean(down) + _mean(across)) / 2
    measured = {
        "brightness": light.mean((1, 2)),
        "contrast": contrast,
        "sharpness": steps / (contrast + 1),
        "levels": _levels(light),
    }
    if images.shape[1] > 1:
        measured["saturation"] = (images.amax(1) - images.amin(1)).mean((1, 2))
    if min(light.shape[1:]) > BLOCK:
        meet = _mean(down[:, BLOCK - 1 :: BLOCK]) + _mean(across[:, :, BLOCK - 1 :: BLOCK])
        measured["blocks"] = meet / (2 * steps + 1)
    return measured


def _mean(values: torch.Tensor) -> torch.Tensor:
    """The mean of each of float32[n, ...], 0 where there is nothing."""
    return values.flatten(1).sum(1) / max(1, values[:1].numel())


def _levels(light: torch.Tensor) -> torch.Tensor:
    """How many of the 256 grey values occur in float32[n, h, w]."""
    values = light.flatten(1).round().clamp(0, 255).long()
    held = torch.zeros(len(light), 256).scatter_(1, values, 1.0)
    return held.sum(1)
