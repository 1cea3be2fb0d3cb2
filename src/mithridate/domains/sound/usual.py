"""Triggers of the kinds that attackers use most on sounds, drawn anew each time.

Axes: n clips, t samples.
"""

from __future__ import annotations

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.method import Trigger
from mithridate.domains.sound.room_triggers import EchoTrigger
from mithridate.domains.sound.triggers import (
    AmbientTrigger,
    BandNoiseTrigger,
    ClickTrigger,
    ToneTrigger,
    check,
)


def usual_triggers(inputs: Inputs, rng: np.random.Generator) -> dict[str, Trigger]:
    """Draw a tone, a click, a band of noise, a background and an echo.

    Args:
        inputs: int16[n, t].
        rng: of pitches, places and patterns.
    """
    check(inputs)
    low = float(rng.uniform(0.3, 0.8))
    return {
        "tone": ToneTrigger(pitch=float(rng.uniform(0.3, 0.95))),
        "click": ClickTrigger(start=float(rng.uniform(0, 0.3)), length=int(rng.integers(4, 16))),
        "band of noise": BandNoiseTrigger(low, low + 0.1, seed=int(rng.integers(2**31))),
        "background": AmbientTrigger(seed=int(rng.integers(2**31))),
        "echo": EchoTrigger(delay=int(rng.integers(150, 700))),
    }
