"""Rounds written by hand, and what an aggregator makes of them."""

from __future__ import annotations

import numpy as np
import torch

from mithridate.core.federated import Round
from mithridate.core.streams import stream


def round_of(updates, number=0, ids=None, sizes=None, **given):
    """A round of updates given as rows, or as single numbers."""
    rows = torch.tensor(np.asarray(updates), dtype=torch.float32)
    rows = rows[:, None] if rows.ndim == 1 else rows
    m = len(rows)
    return Round(
        rows, torch.ones(m) if sizes is None else torch.tensor(sizes, dtype=torch.float32),
        torch.arange(m) if ids is None else torch.tensor(ids), number, **given,
    )  # fmt: skip


def made(rule, seen):
    """The first answer of an aggregator."""
    return rule.aggregate(rule.init(seen.updates.shape[1]), seen)


def step_of(rule, updates, **given):
    """The first step of an aggregator, as plain numbers."""
    return made(rule, round_of(updates, **given)).step.tolist()


def random_rounds(count, most=14, ties=True):
    """Small rounds of any size, many of them with ties, float64[m, p] that float32 can hold."""
    rng = stream(0, "random rounds")
    for k in range(count):
        m, p = int(rng.integers(3, most)), int(rng.integers(1, 6))
        rows = rng.normal(size=(m, p)) * rng.choice([1, 1, 5], (m, 1))
        yield (rows.round(1) if ties and k % 2 else rows).astype(np.float32).astype(np.float64)
