"""Other ways in which images may enter a network from elsewhere, to be tried when it does badly.

Axes: n images, b images of a batch, k channels, h rows, w columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, cast

import torch
from torch import nn

from mithridate.core.spelling import option
from mithridate.domains.image.elsewhere import Elsewhere
from mithridate.domains.image.layers import Encode, encode_by, moments

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR = ((0.4914, 0.4822, 0.4465), (0.247, 0.2435, 0.2616))
CIFAR_OF_BATCHES = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.201))
CLIP = ((0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758))
MNIST = ((0.1307,), (0.3081,))
UNIT, CENTRED, RAW = ((0.0,), (1.0,)), ((0.5,), (0.5,)), ((0.0,), (1 / 255,))
"""What training scripts standardise x / 255 by: the mean and the standard deviation."""


class Encoding(NamedTuple):
    """A way in which bytes become what a network takes: (x / 255 - mean) / std.

    Attributes:
        mean: Of each channel or of all, on the scale 0..1.
        std: Likewise.
        reversed: Whether the channels enter in reverse, blue first.

    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    reversed: bool

    def described(self) -> str:
        """Say what it is and how to ask for it."""
        mean, std = (",".join(f"{v:.6g}" for v in part) for part in (self.mean, self.std))
        told = f"if images enter with {option('mean', mean)} and {option('std', std)}"
        if not self.reversed:
            return told
        return (
            f"{told} and their channels in reverse, blue first: reverse them at the door of the "
            "network, in a function of your own (python:FILE.py:FUNCTION)"
        )


class Reencoded(nn.Module):
    """A network whose images enter in another way; the network itself is left as it is."""

    def __init__(self, model: nn.Module, encoding: Encoding) -> None:
        super().__init__()
        self.model, self.encoding = model, encoding

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give the logits float[b, c] of images uint8[b, k, h, w]."""
        given = batch.flip(1) if self.encoding.reversed else batch
        with _entering(self.model, self.encoding, batch):
            return cast(torch.Tensor, self.model(given))


def other_encodings(model: nn.Module, images: torch.Tensor) -> Iterator[tuple[str, nn.Module]]:
    """Give the same network behind each encoding that is usual, with what each is called.

    Args:
        model: A network from elsewhere, or one that runs a file behind an `adapter`; a network of
            this library holds its own encoding among its weights, and nothing is tried.
        images: uint8[n, k, h, w], whose own mean and standard deviation are tried too; nothing is
            tried for inputs of another kind.

    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        return
    if not isinstance(model, Elsewhere) and not isinstance(
        getattr(model, "adapter", None), nn.Module
    ):
        return
    for encoding in usual_encodings(images):
        yield encoding.described(), Reencoded(model, encoding)


def usual_encodings(images: torch.Tensor) -> list[Encoding]:
    """List the encodings that training scripts use for images uint8[n, k, h, w]."""
    k = images.shape[1]
    own = tuple(tuple(round(v, 4) for v in part.tolist()) for part in moments(images))
    several = [UNIT, CENTRED, RAW, IMAGENET, own]
    several += [CIFAR, CIFAR_OF_BATCHES, CLIP] if k == 3 else [MNIST]
    encodings = []
    for mean, std in several:
        # grey images enter by the mean of what is usual for three channels
        mean, std = (part if len(part) in (1, k) else (sum(part) / len(part),)
                     for part in (mean, tuple(max(s, 1e-3) for s in std)))  # fmt: skip
        encodings += [
            Encoding(mean, std, turned) for turned in ((False, True) if k == 3 else (False,))
        ]
    return encodings


@contextmanager
def _entering(model: nn.Module, encoding: Encoding, batch: torch.Tensor) -> Iterator[None]:
    """Let images enter a network in another way, as long as the block lasts."""
    other = Encode(torch.zeros(1, batch.shape[1], 1, 1, dtype=torch.uint8))
    encode_by(other, encoding.mean, encoding.std)
    name = "encode" if isinstance(model, Elsewhere) else "adapter"
    before = getattr(model, name)
    setattr(model, name, other.to(batch.device))
    try:
        yield
    finally:
        setattr(model, name, before)
