"""Triggers that a defender draws in observations: the kinds that attackers use most."""

from __future__ import annotations

import numpy as np

from mithridate.core.data import Inputs
from mithridate.core.method import Trigger
from mithridate.domains.observation.usual import usual_triggers


def draw(inputs: Inputs, rng: np.random.Generator) -> tuple[Trigger, ...]:
    """Draw one trigger of each kind."""
    return tuple(usual_triggers(inputs, rng).values())
