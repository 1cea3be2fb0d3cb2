"""The scale on which numbers of tables are prepared, measured and shown.

Axes: n rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MISSING = -1000.0
"""Where a missing number lies, and what hides a category; all others are larger."""

LARGEST = float(np.log1p(np.finfo(np.float64).max))
"""Where the largest number lies, and infinity with it."""


def scaled(numbers: NDArray[Any]) -> NDArray[np.float64]:
    """Give sign(x) log(1 + |x|) of numbers[n], infinity where the largest lies, MISSING for NaN."""
    x = numbers.astype(np.float64)
    y = np.minimum(np.log1p(np.abs(x)), LARGEST)
    return np.where(np.isnan(x), MISSING, np.copysign(y, x))
