"""How prepared rows of a table are damaged and hidden.

Axes: b rows of a batch, d columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mithridate.domains.table.scale import MISSING

SPAN = 0.3
"""The share of a row that the strong variation hides."""

NOISE = 0.1
"""How far noise moves a number, as a share of what it is on the scale of prepared numbers."""


def hide_some(batch: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Hide three tenths of the values of float32[b, d], at least one of those that are there."""
    there = batch > MISSING
    drawn = torch.rand(batch.shape, generator=rng, device=rng.device).to(batch.device)
    drawn = drawn.masked_fill(~there, 2.0)  # those come last
    many = (SPAN * there.sum(1, keepdim=True)).ceil()
    return batch.masked_fill((drawn.argsort(1).argsort(1) < many) & there, MISSING)


def corrupt(
    batch: torch.Tensor,
    kind: str,
    share: float,
    categorical: Sequence[int],
    buckets: int,
    rng: torch.Generator,
) -> torch.Tensor:
    """Damage columns of float32[b, d], each with a probability.

    Args:
        batch: Prepared rows.
        kind: "missing", "noise" or "strange".
        share: The probability.
        categorical: Positions of columns of categories.
        buckets: Numbers for categories.
        rng: Draws the columns, and for each how far it is moved or which number it gets.
    """
    width = batch.shape[1]
    drawn, extent = torch.rand(2, width, generator=rng, device=rng.device).to(batch.device)
    hit = drawn < share
    category = torch.zeros(width, dtype=torch.bool, device=batch.device)
    category[list(categorical)] = True
    there = batch > MISSING
    if kind == "missing":
        return batch.masked_fill(hit, MISSING)
    if kind == "strange":
        number = 1 + (extent * (buckets - 1)).floor()
        return torch.where(hit & category & there, number, batch)
    moved = batch * (1 + NOISE * (2 * extent - 1))
    return torch.where(hit & ~category & there, moved, batch)
