"""What a server keeps of each client from round to round, where others take part each time.

Axes: m clients of a round, k clients that were seen before, d numbers kept of each.
"""

from __future__ import annotations

import torch


def places(known: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Give the places of some clients among those known, int64[m], and who is known, bool[m].

    Args:
        known: int64[k], ascending.
        ids: int64[m].
    """
    if not len(known):
        return torch.zeros_like(ids), torch.zeros(len(ids), dtype=torch.bool)
    place = torch.searchsorted(known, ids).clamp_max(len(known) - 1)
    return place, known[place] == ids


def recalled(
    known: torch.Tensor, kept: torch.Tensor, ids: torch.Tensor, new: float = 0.0
) -> torch.Tensor:
    """Give what was kept of some clients, [m, d].

    Args:
        known: int64[k], ascending.
        kept: [k, d].
        ids: int64[m].
        new: stands for what is not known.
    """
    place, there = places(known, ids)
    rows = kept.new_full((len(ids), kept.shape[1]), new)
    rows[there] = kept[place[there]]
    return rows


def renewed(
    known: torch.Tensor, kept: torch.Tensor, ids: torch.Tensor, rows: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Put rows of some clients in the place of what was kept; give who is known, and the rows.

    Args:
        known: int64[k].
        kept: [k, d].
        ids: int64[m].
        rows: [m, d].
    """
    absent = ~torch.isin(known, ids)
    if not bool(absent.any()) and bool((ids.diff() > 0).all()):
        return ids, rows  # without a copy, which may be large
    together = torch.cat([known[absent], ids])
    order = together.argsort()
    return together[order], torch.cat([kept[absent], rows])[order]
