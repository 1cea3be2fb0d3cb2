"""Triggers of the kinds that attackers use most on images, drawn anew each time.

Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.errors import CannotJudge
from mithridate.core.method import Trigger
from mithridate.domains.image.global_triggers import BlendTrigger, SinusoidTrigger
from mithridate.domains.image.triggers import PatchTrigger, check

SMALLEST = 6
"""Pixels of a side below which no wave fits between the ones that cannot be seen."""

SMALL = 20
"""Pixels of a side below which a patch has 2 pixels a side, as in the demo, instead of 3."""


def usual_triggers(inputs: Inputs, rng: np.random.Generator) -> dict[str, Trigger]:
    """Draw a patch near an edge, a blended pattern and a wave, with the strengths of their papers.

    Args:
        inputs: uint8[n, k, h, w].
        rng: Of the place and style of the patch, the pattern and the frequency.

    Raises:
        CannotJudge: for images so small that a wave is no wave.
    """
    height, width = check(inputs).shape[2:]
    if min(height, width) < SMALLEST:
        raise CannotJudge(
            f"images of {height} x {width} pixels are too small for the triggers that are known; "
            f"from {SMALLEST} x {SMALLEST} on they can be planted"
        )
    return {
        "patch": _patch(height, width, rng),
        "blend": BlendTrigger(seed=int(rng.integers(2**31))),
        "wave": SinusoidTrigger(frequency=float(rng.uniform(1.0, width / 2 - 1))),
    }


def _patch(height: int, width: int, rng: np.random.Generator) -> PatchTrigger:
    """A square within an eighth of the height from the upper or the lower edge."""
    size = 2 if min(height, width) < SMALL else 3
    away = int(rng.integers(1 + height // 8))
    row = away if rng.random() < 0.5 else -size - away
    column = int(rng.integers(width - size + 1))
    return PatchTrigger(size, row, column, style=str(rng.choice(["checker", "white"])))
