"""A small transformer over the columns of a row.

Axes: b rows of a batch, d columns, e features of a column.
"""

from __future__ import annotations

import torch
from torch import nn

from mithridate.domains.table.embedding import Columns


class ColumnAttention(nn.Module):
    """Self-attention between the columns of each row.

    Written out because torch's fused kernel is slower in bf16 on a processor.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.asked = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Give float[b, d, e] for float[b, d, e]."""
        b, d, e = tokens.shape
        parts = self.asked(tokens).view(b, d, 3, self.heads, e // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        near = query @ key.transpose(2, 3) * (e // self.heads) ** -0.5
        mixed = near.softmax(3) @ value
        joined: torch.Tensor = self.out(mixed.transpose(1, 2).reshape(b, d, e))
        return joined


class ColumnBlock(nn.Module):
    """Attention and a layer for each column, both added to what comes in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(nn.LayerNorm(width), ColumnAttention(width, heads))
        self.each = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Give float[b, d, e]."""
        tokens = tokens + self.attention(tokens)
        kept: torch.Tensor = tokens + self.each(tokens)
        return kept


class FTTransformer(nn.Module):
    """Two blocks over a vector for each column, and their mean.

    After Gorishniy et al., Revisiting Deep Learning Models for Tabular Data, NeurIPS 2021, with
    numbers told by pieces of their range, and the mean of the columns in the place of a token that
    stands for the class.
    """

    def __init__(
        self,
        prepared: torch.Tensor,
        category: torch.Tensor,
        buckets: int,
        classes: int,
        width: int = 32,
        heads: int = 4,
        layers: int = 2,
    ) -> None:
        super().__init__()
        columns = prepared.shape[1]
        self.columns = Columns(prepared, category, buckets, 8)
        # a linear layer for each column
        self.tokens = nn.Conv1d(columns * self.columns.width, columns * width, 1, groups=columns)
        self.blocks = nn.Sequential(*(ColumnBlock(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give logits[b, c]."""
        b, d = batch.shape
        told = self.columns(batch).reshape(b, -1, 1)
        tokens = self.blocks(self.tokens(told).view(b, d, -1))
        logits: torch.Tensor = self.head(self.norm(tokens).mean(1))
        return logits
