"""Three small architectures that are none of ours, for `recipes/repair_elsewhere.py`.

Each function takes the number of classes and gives a plain torch module for images in 0..1, as
`--network python:recipes/repair_networks.py:vgg` asks. Shapes settle at a first batch.
"""

from __future__ import annotations

import torch
from torch import nn


def _block(wide: int, stride: int = 1) -> list[nn.Module]:
    return [nn.LazyConv2d(wide, 3, stride, padding=1), nn.LazyBatchNorm2d(), nn.ReLU()]


def vgg(classes: int) -> nn.Module:
    """Convolutions and pooling in turn, then two linear layers."""
    body = _block(16, 2)
    for wide in (32, 64):
        body += [*_block(wide), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.LazyLinear(64), nn.ReLU(), nn.Linear(64, classes)]
    return _settled(nn.Sequential(*body, *head))


class Residual(nn.Module):
    """A stem, three blocks around which a path leads, the mean over places and a linear layer."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_block(16, 2), nn.MaxPool2d(2))
        self.inner = nn.ModuleList(
            nn.Sequential(*_block(wide), nn.LazyConv2d(wide, 3, padding=1), nn.LazyBatchNorm2d())
            for wide in (16, 32, 64)
        )
        self.short = nn.ModuleList(nn.LazyConv2d(wide, 1) for wide in (16, 32, 64))
        self.fc = nn.LazyLinear(classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c]."""
        x = self.stem(images)
        for inner, short in zip(self.inner, self.short, strict=True):
            x = nn.functional.max_pool2d(torch.relu(inner(x) + short(x)), 2)
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


def residual(classes: int) -> nn.Module:
    """Build `Residual`."""
    return _settled(Residual(classes))


class Mixing(nn.Module):
    """One layer of a mixer: first over places, then over channels."""

    def __init__(self, places: int, wide: int) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(wide), nn.LayerNorm(wide)
        self.places = nn.Sequential(
            nn.Linear(places, 2 * places), nn.GELU(), nn.Linear(2 * places, places)
        )
        self.channels = nn.Sequential(
            nn.Linear(wide, 2 * wide), nn.GELU(), nn.Linear(2 * wide, wide)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Give [b, places, channels]."""
        x = x + self.places(self.first(x).transpose(1, 2)).transpose(1, 2)
        mixed: torch.Tensor = x + self.channels(self.second(x))
        return mixed


class Mixer(nn.Module):
    """Patches of 4 x 4 of an image of 28 or 32 pixels, mixed twice; no normalisation in batches."""

    def __init__(self, classes: int, places: int, wide: int = 48) -> None:
        super().__init__()
        self.patches = nn.LazyConv2d(wide, 4, stride=4)
        self.layers = nn.Sequential(*(Mixing(places, wide) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(wide), nn.Linear(wide, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c]."""
        x = self.patches(images).flatten(2).transpose(1, 2)
        logits: torch.Tensor = self.head(self.norm(self.layers(x)).mean(1))
        return logits


def mixer(classes: int) -> nn.Module:
    """Build `Mixer` for 32 pixels."""
    return _settled(Mixer(classes, 64))


def _settled(model: nn.Module, channels: int = 3, side: int = 32) -> nn.Module:
    with torch.no_grad():
        model.eval()(torch.zeros(2, channels, side, side))
    return model.train()
