"""Where one of several things lies among the others, for each of them alike.

Axes: m + 1 things.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALIKE = 1e-9
"""A spread below this share of the size of the values is rounding: all are alike."""


def of_the_others(x: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of all rows but one, for each row left out.

    Args:
        x: one row for each model, float64[m + 1, ...].
    """
    n = len(x) - 1
    shifted = x - x.mean(0)  # near the origin, where less is lost to rounding
    total, squares = shifted.sum(0) - shifted, (shifted**2).sum(0) - shifted**2
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0.0) * n / (n - 1)
    return mean + x.mean(0), np.sqrt(variance)
