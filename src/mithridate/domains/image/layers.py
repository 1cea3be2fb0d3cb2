"""The layers of the image networks.

Axes: b images of a batch, k channels, h rows, w columns, d features, t tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.errors import MethodError


class Encode(nn.Module):
    """Bytes uint8[b, k, h, w] to standardised floats, channels last in memory."""

    def __init__(self, images: torch.Tensor) -> None:
        super().__init__()
        mean, spread = moments(images)
        self.register_buffer("mean", mean.view(1, -1, 1, 1))
        self.register_buffer("scale", spread.clamp_min(0.05).view(1, -1, 1, 1))  # flat images

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Standardise."""
        mean, scale = self.get_buffer("mean"), self.get_buffer("scale")
        floats = batch.to(memory_format=torch.channels_last).float() / 255
        return (floats - mean) / scale


def encode_by(model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
    """Let the encoding in a model standardise by (x / 255 - mean) / std.

    Args:
        mean: one for each channel or one for all.
        std: one for each channel or one for all.

    Raises:
        MethodError: where they do not fit the channels, or std is not positive.
    """
    for part in model.modules():
        if isinstance(part, Encode):
            k = len(part.get_buffer("mean").flatten())
            if not {len(mean), len(std)} <= {1, k} or not all(s > 0 for s in std):
                raise MethodError(
                    f"expected a mean and a positive std for each of {k} channels, or one for all; "
                    f"found {list(mean)} and {list(std)}"
                )
            part.get_buffer("mean").copy_(torch.tensor(mean).view(1, -1, 1, 1))
            part.get_buffer("scale").copy_(torch.tensor(std).view(1, -1, 1, 1))


def moments(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation of each channel on the scale 0..1, float32[k] each.

    Counted over all bytes, so that the order of the images changes not even the rounding: examples
    whose scores are compared must have been treated alike wherever they stand.
    """
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for part in images.split(4096):
        for channel in range(images.shape[1]):
            counts[channel] += torch.bincount(part[:, channel].flatten().int(), minlength=256)
    levels = torch.arange(256, dtype=torch.float64) / 255
    share = counts / counts.sum(1, keepdim=True)
    mean = share @ levels
    variance = (share * (levels - mean[:, None]).square()).sum(1)
    return mean.float(), variance.sqrt().float()


def convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution, batch normalisation and a rectifier."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """A body and the path around it: x + f(x)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Add the body's output to its input."""
        change: torch.Tensor = self.body(batch)
        return batch + change


class Pool(nn.Module):
    """The largest activation of each channel, float[b, d]."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Pool over rows and columns."""
        largest: torch.Tensor = F.adaptive_max_pool2d(batch, 1)
        return largest.flatten(1)


class Mean(nn.Module):
    """The mean over rows and columns of float[b, d, h, w], or over the tokens of float[b, t, d]."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Average."""
        return batch.mean((2, 3)) if batch.ndim == 4 else batch.mean(1)


class PreActivation(nn.Module):
    """A residual block that normalises and rectifies before each of its two convolutions.

    Where the shape changes, the shortcut is a 1x1 convolution of the first rectified input.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(inplace=True))
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Add the body's output to the shortcut's."""
        active = self.first(batch)
        change: torch.Tensor = self.body(active)
        return change + (batch if self.shortcut is None else self.shortcut(active))


class Tokens(nn.Module):
    """Patches of an image as tokens: a linear map of each, and a learnt vector for its place.

    Returns float[b, t, d]. Images whose sides are no multiple of the patch are padded with the mean
    at the right and at the bottom, so that no pixel is unseen.
    """

    def __init__(self, channels: int, height: int, width: int, patch: int, size: int) -> None:
        super().__init__()
        self.padding = (0, -width % patch, 0, -height % patch)
        self.embed = nn.Conv2d(channels, size, patch, patch)
        tokens = math.ceil(height / patch) * math.ceil(width / patch)
        self.place = nn.Parameter(torch.randn(1, tokens, size))  # as large as what it is added to

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Cut, embed and place."""
        tokens: torch.Tensor = self.embed(F.pad(batch, self.padding))
        return tokens.flatten(2).transpose(1, 2) + self.place


class Attention(nn.Module):
    """Self-attention over tokens float[b, t, d] with heads of 32 dimensions."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.heads = size // 32
        self.query_key_value = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Let every token look at all."""
        b, t, d = batch.shape
        parts = self.query_key_value(batch).view(b, t, 3, self.heads, 32).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        mixed: torch.Tensor = self.out(seen.transpose(1, 2).reshape(b, t, d))
        return mixed


def start_small(network: nn.Module) -> None:
    """Start the linear layers at Glorot's scale, and those that end a branch smaller.

    With L residual branches the last layer of each is divided by sqrt(L), so that the branches
    together start as large as the path around them.
    Radford et al., Language Models are Unsupervised Multitask Learners, 2019.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    branches = [layer for layer in network.modules() if isinstance(layer, Residual)]
    for branch in branches:
        ends = [layer for layer in branch.modules() if isinstance(layer, nn.Linear)]
        with torch.no_grad():
            ends[-1].weight.div_(math.sqrt(len(branches)))
