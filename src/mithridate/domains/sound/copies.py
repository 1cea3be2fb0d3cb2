"""Which sounds are the same one written down again: coded anew, resampled, louder or softer.

Axes: n clips, t samples.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

PARTS = 16
"""Parts of a clip whose loudness makes its signature."""

STEP = 0.06
"""Distance of the root of a share of energy that two copies may have in a part."""

SAME = 0.95
"""Correlation of samples from which on two clips are copies."""


def signature(sounds: torch.Tensor) -> NDArray[np.float64]:
    """Give the root of the share of energy in parts of clips int16[n, t], float64[n, PARTS].

    Gain takes no part, and a codec or another rate changes it by far less than 1 in units of
    `STEP`. Silence is the origin.
    """
    energy = _parts(sounds.double()).square().sum(2)
    share = energy / energy.sum(1, keepdim=True).clamp_min(1.0)
    return np.asarray((share.sqrt() / STEP).numpy() / np.sqrt(PARTS), dtype=np.float64)


def alike(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Say which pairs of clips int16[n, t] are copies, bool[n].

    The cosine of their samples is at least `SAME`, and no window of a 16th differs by more than a
    codec may: what an attacker adds, even in one place, makes another clip. Silence is like
    silence.
    """
    a, b = first.double(), second.double()
    norms = a.square().sum(1).sqrt(), b.square().sum(1).sqrt()
    scale = (a * b).sum(1) / norms[1].square().clamp_min(1.0)
    gap = a - b * scale[:, None]
    cosine = (a * b).sum(1) / (norms[0] * norms[1]).clamp_min(1.0)
    left, loud = (_parts(each).square().mean(2).sqrt().amax(1) for each in (gap, a))
    silent = (norms[0] == 0) & (norms[1] == 0)
    return silent | ((cosine >= SAME) & (left <= 0.05 * loud))


def _parts(sounds: torch.Tensor) -> torch.Tensor:
    """Divide float64[n, t] into float64[n, PARTS, t / PARTS], the last one filled up with zeros."""
    each = -(-sounds.shape[1] // PARTS)
    filled = torch.nn.functional.pad(sounds, (0, PARTS * each - sounds.shape[1]))
    return filled.reshape(len(sounds), PARTS, each)
