"""Small text classifiers; each begins with its own embedding of the numbers of words.

Axes: b texts of a batch, t places for words, d features.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from mithridate.core.errors import MethodError
from mithridate.domains.text.words import PADDING


def trim(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Leave out the places that every text leaves empty; also say which hold words, bool[b, t].

    The first place counts as a word even in an empty text, so that each text has one to pool over.
    """
    real = batch != PADDING
    width = max(1, int(real.any(0).sum()))
    real = real[:, :width].clone()
    real[:, 0] = True
    return batch[:, :width], real


class Embed(nn.Module):
    """Numbers int32[b, t] to vectors float32[b, t, d]: the sum of one row of each of two tables.

    Gradient descent moves a rare word's row once in many steps, so rows are small and multiplied
    by `speed`: that starts at the same place and learns speed^2 times as fast as other weights.
    """

    def __init__(self, buckets: int, width: int, speed: float = 10.0, spread: float = 0.1) -> None:
        super().__init__()
        self.buckets, self.speed = buckets, speed
        self.tables = nn.Embedding(2 * buckets, width)
        nn.init.normal_(self.tables.weight, std=spread / speed)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Look up and add."""
        first = batch % self.buckets
        second = batch // self.buckets % self.buckets + self.buckets
        rows: torch.Tensor = self.tables(first) + self.tables(second)
        return self.speed * rows


class TextCNN(nn.Module):
    """One convolution over three words, pooled by its maximum and by its mean over the text.

    After Kim, Convolutional Neural Networks for Sentence Classification, EMNLP 2014. Several
    widths side by side were no more accurate on SST-2 and took longer.
    """

    def __init__(self, buckets: int, classes: int, width: int = 64, dropout: float = 0.5) -> None:
        super().__init__()
        self.embed = Embed(buckets, width)
        self.convolution = nn.Conv1d(width, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm1d(2 * width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * width, classes)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c]."""
        batch, real = trim(batch)
        empty = ~real.unsqueeze(1)
        embedded = self.embed(batch).transpose(1, 2).masked_fill(empty, 0)
        maps = self.convolution(embedded)
        highest = maps.masked_fill(empty, -math.inf).amax(2)
        mean = F.relu(maps).masked_fill(empty, 0).sum(2) / real.sum(1, keepdim=True)
        pooled = self.norm(torch.cat([highest, mean], 1))
        logits: torch.Tensor = self.head(self.dropout(F.relu(pooled)))
        return logits


class MaskedAttention(nn.Module):
    """Self-attention over the words of each text.

    Written out because, in bf16 on a processor, a training step with torch's fused kernel takes
    2.5 times as long.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.inward = nn.Linear(width, 3 * width)
        self.outward = nn.Linear(width, width)

    def forward(self, batch: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Mix the vectors float[b, t, d] of the places that are real, bool[b, t]."""
        parts = self.inward(batch).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        alike = query @ key.transpose(2, 3) / math.sqrt(query.shape[-1])
        weights = alike.masked_fill(~real[:, None, None], -math.inf).softmax(-1)
        mixed: torch.Tensor = self.outward((weights @ value).transpose(1, 2).flatten(2))
        return mixed


class Block(nn.Module):
    """Attention and a two-layer perceptron, each added to what it was given, normalised before."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before = nn.LayerNorm(width)
        self.attention = MaskedAttention(width, heads)
        self.between = nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, batch: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """Transform float[b, t, d]."""
        batch = batch + self.attention(self.before(batch), real)
        added: torch.Tensor = batch + self.outer(F.gelu(self.inner(self.between(batch))))
        return added


class Transformer(nn.Module):
    """Two blocks of attention over embedded words and their places, pooled by the mean.

    Places are coded by sines (Vaswani et al., Attention Is All You Need, NeurIPS 2017): they need
    no training, and any length of text will do.
    """

    def __init__(
        self, buckets: int, classes: int, width: int = 64, heads: int = 2, layers: int = 2
    ) -> None:
        super().__init__()
        self.embed = Embed(buckets, width)
        self.dropout = nn.Dropout(0.5)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c]."""
        batch, real = trim(batch)
        embedded = self.embed(batch)
        hidden = self.dropout(embedded + places(*embedded.shape[1:]).to(embedded))
        for block in self.blocks:
            hidden = block(hidden, real)
        summed = (self.norm(hidden) * real.unsqueeze(2)).sum(1)
        logits: torch.Tensor = self.head(self.dropout(summed / real.sum(1, keepdim=True)))
        return logits


def places(count: int, width: int) -> torch.Tensor:
    """The code of each place, float32[count, width], about as large as the words' vectors."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(count).unsqueeze(1) * rates
    return 0.2 * torch.cat([angles.sin(), angles.cos()], 1)


NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {"cnn": TextCNN, "transformer": Transformer}


def build(name: str, buckets: int, classes: int) -> nn.Module:
    """Build a network by name, with tables of `buckets` rows.

    Raises:
        MethodError: for an unknown name.
    """
    if name not in NETWORKS:
        raise MethodError(f"unknown text network {name!r}; available: {', '.join(NETWORKS)}")
    return NETWORKS[name](buckets, classes)
