"""Triggers of the defender's own: drawn by the domain, stamped on copies of trusted examples.

Axes: m trusted examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from mithridate.core.data import Dataset, Inputs, concatenate
from mithridate.core.view import View
from mithridate.domains.registry import draw_triggers

Stamp = Callable[[Inputs, np.random.Generator], Inputs]
"""Puts a trigger on raw inputs[m]."""


def draw_stamps(view: View, rng: np.random.Generator) -> Sequence[Stamp]:
    """Draw a trigger of each kind that the domain knows; none where it knows none."""
    return draw_triggers(view.domain.name, view.clean.inputs, rng)


def stamped(
    data: Dataset, stamp: Stamp, rng: np.random.Generator, label: int | None = None
) -> Dataset:
    """Give copies with a trigger, under one label or under their own."""
    labels = data.labels if label is None else torch.full_like(data.labels, label)
    return replace(data, inputs=stamp(data.inputs, rng), labels=labels)


def joined(parts: Sequence[Dataset]) -> Dataset:
    """Put data sets behind each other, with ids of their own, since copies share theirs."""
    whole = parts[0]
    for part in parts[1:]:
        whole = concatenate(whole, part)
    return replace(whole, ids=torch.arange(len(whole)))
