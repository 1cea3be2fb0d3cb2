"""Triggers that a defender draws: on sounds, a tone, a click and a band of noise.

Axes: n clips, t samples.
"""

from __future__ import annotations

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.method import Trigger
from mithridate.domains.sound.triggers import BandNoiseTrigger, ClickTrigger, ToneTrigger, check


def draw(inputs: Inputs, rng: np.random.Generator) -> tuple[Trigger, ...]:
    """Draw one trigger of each kind for such clips."""
    check(inputs)
    low = float(rng.uniform(0.1, 0.85))
    below = float(rng.uniform(12, 25))
    return (
        ToneTrigger(pitch=float(rng.uniform(0.1, 0.95)), below=below),
        ClickTrigger(start=float(rng.uniform(0, 0.5)), length=int(rng.integers(4, 24))),
        BandNoiseTrigger(low, low + float(rng.uniform(0.05, 0.14)), below,
                         seed=int(rng.integers(2**31))),
    )  # fmt: skip
