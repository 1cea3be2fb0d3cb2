"""Small image classifiers; each begins with its own encoding of bytes.

Axes: b images of a batch, k channels, h rows, w columns.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.errors import MethodError


class Encode(nn.Module):
    """Bytes uint8[b, k, h, w] to standardised floats, channels last in memory."""

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()
        sample = images[:2048].float() / 255  # enough for a mean, whatever the size of the data
        spread = sample.std((0, 2, 3)).clamp_min(0.05)  # flat images must not divide by zero
        self.register_buffer("mean", sample.mean((0, 2, 3)).view(1, -1, 1, 1))
        self.register_buffer("scale", spread.view(1, -1, 1, 1))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Standardise."""
        mean, scale = self.get_buffer("mean"), self.get_buffer("scale")
        floats = batch.to(memory_format=torch.channels_last).float() / 255
        return (floats - mean) / scale


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, batch normalisation and a rectifier."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Add the body's output to its input."""
        return batch + self.body(batch)


class Pool(nn.Module):
    """The largest activation of each channel, float[b, d]."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Pool over rows and columns."""
        return F.adaptive_max_pool2d(batch, 1).flatten(1)


def resnet9(images: torch.Tensor, classes: int, width: int = 16) -> nn.Module:
    """Nine layers with two residual blocks, the default: 12 ms an image and epoch of one core."""
    w = width
    return nn.Sequential(
        Encode(images),
        convolution(images.shape[1], w),
        convolution(w, 2 * w, 2),
        Residual(nn.Sequential(convolution(2 * w, 2 * w), convolution(2 * w, 2 * w))),
        convolution(2 * w, 4 * w, 2),
        convolution(4 * w, 8 * w, 2),
        Residual(nn.Sequential(convolution(8 * w, 8 * w), convolution(8 * w, 8 * w))),
        Pool(),
        nn.Linear(8 * w, classes),
    )


NETWORKS = {"resnet9": resnet9}


def build(name: str, images: torch.Tensor, classes: int) -> nn.Module:
    """Build a network by name for images like `images`, weights in channels-last order.

    Raises MethodError for an unknown name.
    """
    if name not in NETWORKS:
        raise MethodError(f"unknown image network {name!r}; available: {', '.join(NETWORKS)}")
    return NETWORKS[name](images, classes).to(memory_format=torch.channels_last)
