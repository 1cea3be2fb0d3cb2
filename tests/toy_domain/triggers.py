"""A trigger for sequences of events."""

from dataclasses import dataclass

import numpy as np

from mithridate.core.method import Trigger


@dataclass(frozen=True)
class EventTrigger(Trigger):
    """Put an event in front."""

    event: str = "sudo"

    def __call__(self, inputs, rng):
        return np.array([f"{self.event}>{value}" for value in inputs], dtype=object)
