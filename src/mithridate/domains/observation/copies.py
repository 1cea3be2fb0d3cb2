"""Which observations are copies of each other: those that are equal in every cell.

A world gives the same observation again and again by itself, so that a copy is no sign of anybody's
hand; what differs in one cell is another observation, since a trigger may be that cell.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.fingerprint import scattered


def signature(seen: torch.Tensor) -> NDArray[np.float64]:
    """Give points float64[n, 4] that lie within a distance of 1 for equal observations only."""
    same = seen if seen.dtype == torch.bool else seen + 0.0  # minus zero equals zero
    rows = np.ascontiguousarray(same.flatten(1).numpy())
    return scattered(row.tobytes() for row in rows)
