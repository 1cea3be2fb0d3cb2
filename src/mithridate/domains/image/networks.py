"""Small image classifiers; each begins with its own encoding of bytes and ends with a linear layer.

They take uint8[b, k, h, w] with k = 1 or 3 and sides from 8 to 224 pixels, and give float[b, c].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.domains.image.layers import (
    Attention,
    Encode,
    Mean,
    Pool,
    PreActivation,
    Residual,
    Tokens,
    convolution,
    start_small,
)
from mithridate.domains.image.network_names import LIBRARIES


def resnet9(images: torch.Tensor, classes: int, width: int = 16) -> nn.Module:
    """Nine layers with two residual blocks, the default.

    At width 16, 0.41 million parameters; a forward pass of a 32x32 image takes 13.4 million
    multiply-adds.
    """
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


def preact_resnet18(images: torch.Tensor, classes: int, width: int = 64) -> nn.Module:
    """PreAct-ResNet-18 for small images: eight pre-activation blocks of widths w, 2w, 4w, 8w.

    He et al., Identity Mappings in Deep Residual Networks, ECCV 2016, with a 3x3 stem without
    pooling. A normalisation and a rectifier follow the last block as in the paper; the copy that
    most backdoor benchmarks use leaves them out and has 16w parameters fewer.
    """
    layers: list[nn.Module] = [nn.Conv2d(images.shape[1], width, 3, 1, 1, bias=False)]
    inputs = width
    for outputs, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
        layers += [PreActivation(inputs, outputs, stride), PreActivation(outputs, outputs, 1)]
        inputs = outputs
    layers += [nn.BatchNorm2d(inputs), nn.ReLU(inplace=True), Mean(), nn.Linear(inputs, classes)]
    return nn.Sequential(Encode(images), *layers)


def vgg(images: torch.Tensor, classes: int, width: int = 64) -> nn.Module:
    """VGG-11 with batch normalisation and one linear layer, for small images.

    Eight convolutions of widths w, 2w, 4w, 4w, 8w, 8w, 8w, 8w with five halvings; a side of one
    pixel stays one.
    Simonyan and Zisserman, Very Deep Convolutional Networks, ICLR 2015.
    """
    layers: list[nn.Module] = []
    inputs = images.shape[1]
    for stage in ((1,), (2,), (4, 4), (8, 8), (8, 8)):
        for factor in stage:
            layers.append(convolution(inputs, factor * width))
            inputs = factor * width
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(Encode(images), *layers, Mean(), nn.Linear(inputs, classes))


def vit(images: torch.Tensor, classes: int, width: int = 96) -> nn.Module:
    """A small vision transformer: six blocks of `width` dimensions over about 8x8 patches.

    The patch is an eighth of the shorter side, 4 pixels at 32, and at least 2. Blocks normalise
    first; heads have 32 dimensions, hidden layers four times the width; the mean of the tokens is
    classified. The weights start so that stochastic gradient descent trains it, see `start_small`.
    Dosovitskiy et al., An Image Is Worth 16x16 Words, ICLR 2021.

    Raises:
        MethodError: where the width is no multiple of 32.
    """
    if width % 32:
        raise MethodError(f"the width of vit must be a multiple of 32, found {width}")
    channels, height, across = images.shape[1:]
    patch = max(2, round(min(height, across) / 8))
    blocks: list[nn.Module] = []
    for _ in range(6):
        hidden = (nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        blocks.append(Residual(nn.Sequential(nn.LayerNorm(width), Attention(width))))
        blocks.append(Residual(nn.Sequential(nn.LayerNorm(width), *hidden)))
    tokens = Tokens(channels, height, across, patch, width)
    head = (nn.LayerNorm(width), Mean(), nn.Linear(width, classes))
    network = nn.Sequential(Encode(images), tokens, *blocks, *head)
    start_small(network)
    return network


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "resnet9": resnet9,
    "preact-resnet18": preact_resnet18,
    "vgg": vgg,
    "vit": vit,
}


def build(name: str, images: torch.Tensor, classes: int) -> nn.Module:
    """Build a network by name for images like `images`, weights in channels-last order.

    Args:
        name: one of `NETWORKS`, with a width of its own after a colon where the default does not
            suit: "preact-resnet18:16".

    Raises:
        MethodError: for an unknown name or a width that is no positive whole number.
    """
    kind, colon, width = name.partition(":")
    if kind not in NETWORKS:
        raise MethodError(
            f"unknown image network {kind!r}; available: {', '.join(NETWORKS)}, and what stands "
            f"behind {', '.join(f'{kind}:' for kind in LIBRARIES)}"
        )
    known = width.isascii() and width.isdigit() and len(width) <= 4
    if colon and not (known and int(width)):  # a name may come from a file that is not trusted
        raise MethodError(
            f"a width is a positive whole number of at most 4 digits, as in '{kind}:32'; "
            f"found {name[:40]!r}"
        )
    network = NETWORKS[kind](images, classes, **({"width": int(width)} if colon else {}))
    cast(Any, network).to(memory_format=torch.channels_last)  # absent from torch's annotations
    return network
