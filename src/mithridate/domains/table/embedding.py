"""How networks of tables begin: a scale of numbers fitted on data, an embedding of categories.

What they are made of depends on the number of columns alone: which ones hold categories, and where
their numbers lie, are kept beside the weights. Axes: b rows of a batch, d columns, t pieces of a
number's range, e features of a column.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from mithridate.domains.table.scale import MISSING

PIECES = 16
"""Pieces into which the range of a number is divided."""


class NumberPieces(nn.Module):
    """Numbers to how far along each piece of their range they lie, fitted on data once.

    After Gorishniy, Rubachev and Babenko, On Embeddings for Numerical Features in Tabular Deep
    Learning, NeurIPS 2022. The pieces hold equally many distinct values, so that neither a long
    tail nor a value that nearly all rows have takes the room of the others. What lies beyond the
    range is told by a last feature, its distance from the median in units of the spread, drawn in
    by arsinh.
    """

    knots: torch.Tensor
    middle: torch.Tensor
    spread: torch.Tensor

    def __init__(self, prepared: torch.Tensor, pieces: int = PIECES) -> None:
        super().__init__()
        fitted = [_fitted(column, pieces) for column in prepared.T]
        self.register_buffer("knots", torch.stack([knots for knots, _, _ in fitted]))
        self.register_buffer("middle", torch.stack([middle for _, middle, _ in fitted]))
        self.register_buffer("spread", torch.stack([spread for _, _, spread in fitted]))

    @property
    def width(self) -> int:
        """Features of a number."""
        return self.knots.shape[1] + 1  # pieces, and two more

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give float32[b, d, t + 2]: along each piece, beyond, and whether it is missing."""
        missing = batch <= MISSING
        values = torch.where(missing, self.middle, batch)
        low, high = self.knots[:, :-1], self.knots[:, 1:]
        along = (values.unsqueeze(2) - low) / (high - low)
        beyond = torch.asinh((values - self.middle) / self.spread)
        parts = [along.clamp(0, 1), beyond.unsqueeze(2)]
        told = torch.cat(parts, 2).masked_fill(missing.unsqueeze(2), 0)
        return torch.cat([told, missing.unsqueeze(2).to(told)], 2)


def _fitted(column: torch.Tensor, pieces: int) -> tuple[torch.Tensor, ...]:
    """Give the knots float32[t + 1], the median and the spread of a column float32[n]."""
    there = column[column > MISSING]
    if not len(there):
        there = torch.zeros(1)
    distinct = there.unique()  # sorted
    places = torch.linspace(0, len(distinct) - 1, pieces + 1, dtype=torch.float64)
    low, rest = places.floor().long(), (places - places.floor()).float()
    knots = torch.lerp(distinct[low], distinct[(low + 1).clamp_max(len(distinct) - 1)], rest)
    step = torch.arange(pieces + 1) * 1e-4  # pieces of no length would divide by nothing
    middle = there.median()
    spread = (there - middle).abs().mean().clamp_min(0.05)
    return knots + step, middle, spread


class Categories(nn.Module):
    """Numbers of categories int64[b, d] to vectors: the sum of one row of each of two tables."""

    def __init__(self, buckets: int, width: int) -> None:
        super().__init__()
        self.side = math.isqrt(buckets - 1) + 1
        self.tables = nn.Embedding(2 * self.side, width)
        nn.init.normal_(self.tables.weight, std=0.5)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Give float32[b, d, e]; what is hidden is looked up as missing."""
        number = batch.clamp(0, self.side**2 - 1).long()
        first, second = number % self.side, number // self.side + self.side
        rows: torch.Tensor = self.tables(first) + self.tables(second)
        return rows


class Columns(nn.Module):
    """Rows float32[b, d] to what is told of each column, float32[b, d, t + 2 + e].

    A column of numbers has zeros in the places of a category, and one of categories in those of a
    number.
    """

    category: torch.Tensor

    def __init__(
        self, prepared: torch.Tensor, category: torch.Tensor, buckets: int, width: int
    ) -> None:
        super().__init__()
        self.register_buffer("category", category.unsqueeze(1))
        self.scale = NumberPieces(prepared)
        self.embed = Categories(buckets, width)
        self.width = self.scale.width + width

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Tell both kinds apart."""
        batch = batch.float()
        numbers = self.scale(batch).masked_fill(self.category, 0.0)
        categories = self.embed(batch).masked_fill(~self.category, 0.0)
        return torch.cat([numbers, categories], 2)
