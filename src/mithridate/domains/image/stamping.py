"""Triggers that a defender draws: on images, squares and patterns that nobody can foresee.

Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.method import Trigger
from mithridate.domains.image.global_triggers import BlendTrigger
from mithridate.domains.image.triggers import PatchTrigger, check

SEEDS = 2**31


def draw(inputs: Inputs, rng: np.random.Generator) -> tuple[Trigger, ...]:
    """Draw one trigger of each kind for such images: a square somewhere, and a faint pattern."""
    height, width = check(inputs).shape[2:]
    return tuple(kind(height, width, rng) for kind in KINDS)


def _square(height: int, width: int, rng: np.random.Generator) -> Trigger:
    size = int(rng.integers(2, max(3, min(height, width) // 6 + 1)))
    row, column = (int(rng.integers(0, side - size + 1)) for side in (height, width))
    style = ("checker", "white")[int(rng.integers(2))]
    return PatchTrigger(size=size, row=row, column=column, style=style)


def _pattern(height: int, width: int, rng: np.random.Generator) -> Trigger:
    pattern = ("noise", "smooth")[int(rng.integers(2))]
    alpha = float(rng.uniform(0.15, 0.3))
    return BlendTrigger(alpha=alpha, pattern=pattern, seed=int(rng.integers(SEEDS)))


KINDS: tuple[Callable[[int, int, np.random.Generator], Trigger], ...] = (_square, _pattern)
