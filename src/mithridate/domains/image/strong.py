"""Variations as strong as the labels survive: a subset of RandAugment, and Cutout.

Axes: n images, k channels, h rows, w columns, m kinds of change.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

STRENGTH = {
    "turn": 0.52,  # radians, 30 degrees
    "shear across": 0.3,
    "shear down": 0.3,
    "shift across": 0.4,  # of half a side
    "shift down": 0.4,
    "brightness": 0.4,
    "contrast": 0.6,
    "colour": 0.9,
    "levels": 4.0,  # bits given up
}
"""The kinds of change and the most that is done of each."""

CHANGES = 2
"""How many kinds each image undergoes."""

HOLE = 0.5
"""The side of the square that is hidden, as a share of the image's shorter side."""


def distort(images: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Give uint8[n, k, h, w] of two random changes each, with a square hidden.

    The changes are those of RandAugment that take no histogram and leave bright things bright:
    turning, shearing, shifting, brightness, contrast, colour and fewer grey levels, each by a
    uniform amount up to `STRENGTH`. Left out are inversion and solarisation, after which a dark
    class could look like a bright one, equalisation, stretched contrast and sharpness. What lies
    beyond the edge is the reflection of the image; the square has the image's mean colour, and its
    centre anywhere.
    Cubuk et al., RandAugment, NeurIPS 2020; DeVries and Taylor, Improved Regularization of
    Convolutional Neural Networks with Cutout, 2017.
    """
    n, kinds = len(images), len(STRENGTH)
    drawn = torch.rand((3, n, kinds), generator=rng, device=rng.device)
    chosen = drawn[0].argsort(1).argsort(1) < CHANGES
    most = torch.tensor(list(STRENGTH.values()), device=drawn.device)
    amounts = torch.where(chosen, (2 * drawn[1] - 1) * most, 0.0)
    levels = _light(_move(images.float(), amounts[:, :5]), amounts[:, 5:8])
    step = 2 ** amounts[:, 8].abs().round().view(-1, 1, 1, 1)
    levels = (levels / step).floor() * step
    return _hide(levels, drawn[2, :, :2]).round().clamp(0, 255).to(images.dtype)


def _move(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Turn, shear and shift by float[n, 5]; amounts of zero leave an image as it is."""
    turn, across, down, right, below = amounts.unbind(1)
    ones = torch.ones_like(turn)
    turned = torch.stack([turn.cos(), -turn.sin(), turn.sin(), turn.cos()], 1).view(-1, 2, 2)
    sheared = torch.stack([ones, across, down, ones], 1).view(-1, 2, 2)
    moved = torch.cat([turned @ sheared, torch.stack([right, below], 1).unsqueeze(2)], 2)
    grid = F.affine_grid(moved, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False).round()


def _light(images: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Change brightness, contrast and colour by float[n, 3], about the mean of each image."""
    bright, contrast, colour = (1 + amounts.view(-1, 3, 1, 1, 1)).unbind(1)
    grey = images.mean(1, keepdim=True)
    coloured = grey + colour * (images - grey)
    mean = coloured.mean((1, 2, 3), keepdim=True)
    return (bright * (mean + contrast * (coloured - mean))).round().clamp(0, 255)


def _hide(images: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Give each image a square of its mean, around a centre float[n, 2] in shares of its sides."""
    n, _, height, width = images.shape
    half = HOLE * min(height, width) / 2
    down = torch.arange(height, device=images.device) + 0.5 - height * centres[:, :1]
    across = torch.arange(width, device=images.device) + 0.5 - width * centres[:, 1:]
    inside = (down.abs() < half).view(n, 1, height, 1) & (across.abs() < half).view(n, 1, 1, width)
    return torch.where(inside, images.mean((2, 3), keepdim=True), images)
