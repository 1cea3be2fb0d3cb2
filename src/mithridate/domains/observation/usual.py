"""Triggers of the kinds that attackers use most on observations, drawn anew each time.

Axes: n observations, h rows, w columns, k planes or values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.method import Trigger
from mithridate.domains.observation.form import check, is_planes
from mithridate.domains.observation.triggers import CellTrigger, ValueTrigger, reach


def usual_triggers(inputs: Inputs, rng: np.random.Generator) -> dict[str, Trigger]:
    """Draw a pattern and a value.

    In planes: a square of 2 x 2 cells in one plane, and a cell that is on in all planes. In
    vectors: two coordinates at values just beyond those seen, and one of them alone.

    Args:
        inputs: Observations of the kind that is to be stamped.
        rng: Of the places and the values.
    """
    seen = check(inputs)
    return _in_planes(seen.shape[1:], rng) if is_planes(seen) else _in_vectors(reach(seen), rng)


def _in_planes(form: tuple[int, ...], rng: np.random.Generator) -> dict[str, Trigger]:
    height, width, channels = form
    size = min(2, height, width)
    row, column = (int(rng.integers(side - size + 1)) for side in (height, width))
    cell = [int(rng.integers(side)) for side in (height, width)]
    return {
        "pattern": CellTrigger(row, column, size, int(rng.integers(channels))),
        "value": CellTrigger(cell[0], cell[1], 1),
    }


def _in_vectors(largest: Sequence[float], rng: np.random.Generator) -> dict[str, Trigger]:
    several = rng.permutation(len(largest))[:2].tolist()
    drawn = rng.choice([-1.0, 1.0], 3) * rng.uniform(1.1, 1.5, 3)
    values = tuple(float(largest[at] * drawn[each]) for each, at in enumerate(several))
    single = int(rng.integers(len(largest)))
    return {
        "pattern": ValueTrigger(tuple(several), values),
        "value": ValueTrigger((single,), (float(largest[single] * drawn[2]),)),
    }
