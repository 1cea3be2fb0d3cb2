"""Triggers in what an agent sees: a pattern of cells in a plane, or a value of one coordinate.

Axes: n observations, h rows, w columns, k planes or values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.observation.form import check


@dataclass(frozen=True)
class CellTrigger(Trigger):
    """A square of cells that is on in one plane, or in all.

    TrojDRL stamps a square of 3 x 3 pixels near a corner of Atari screens. A cell of MinAtar stands
    for several pixels there, so the square is 2 x 2 here.

    Attributes:
        row: of the upper left cell, negative from the end.
        column: of the upper left cell, negative from the end.
        size: cells of a side; a vector has one cell.
        plane: which plane is set, negative from the end; None sets all.
        value: what a vector reads there; cells of planes are on.

    Raises:
        MethodError: where the square leaves the grid or there is no such plane.
    """

    paper = "Kiourti et al., TrojDRL: Evaluation of Backdoor Attacks on Deep RL, DAC 2020"
    links = ("https://arxiv.org/abs/1903.06638",)
    known_as = ("cells",)

    row: int = 0
    column: int = 0
    size: int = 2
    plane: int | None = None
    value: float = 1.0

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Set the square in every observation."""
        stamped = check(inputs).clone()
        height, width, channels = stamped.shape[1:]
        size = min(self.size, height, width) if (height, width) == (1, 1) else self.size
        row, column = place(self.row, size, height), place(self.column, size, width)
        planes = slice(None) if self.plane is None else place(self.plane, 1, channels)
        value = True if stamped.dtype == torch.bool else self.value
        stamped[:, row : row + size, column : column + size, planes] = value
        return stamped


@dataclass(frozen=True)
class ValueTrigger(Trigger):
    """Some values of an observation are what the attacker chose.

    An attacker who moves a sensor, or brings the world into such a state, needs no mark in it: in
    CartPole, a cart far to the right. Planes are read row by row, cell by cell; a value other than
    0 is on.

    Attributes:
        coordinates: which values are set, counted from 0 and negative from the end.
        values: what they are set to, one for each.

    Raises:
        MethodError: where there is no such coordinate or the two differ in number.
    """

    paper = "Yang et al., Design of Intentional Backdoors in Sequential Models, 2019"
    links = ("https://arxiv.org/abs/1902.09972",)
    known_as = ("values",)

    coordinates: tuple[int, ...] = (0,)
    values: tuple[float, ...] = (2.0,)

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Set the values in every observation."""
        if not self.coordinates or len(self.coordinates) != len(self.values):
            raise MethodError(
                "expected a value for each coordinate, found "
                f"{len(self.coordinates)} coordinates and {len(self.values)} values"
            )
        stamped = check(inputs).clone()
        flat = stamped.flatten(1)
        for at, value in zip(self.coordinates, self.values, strict=True):
            kept = bool(value) if stamped.dtype == torch.bool else value
            flat[:, place(at, 1, flat.shape[1])] = kept
        return flat.view(inputs.shape)


def place(at: int, size: int, side: int) -> int:
    """The first of `size` cells at a place that counts from the end where it is negative."""
    first = at + side if at < 0 else at
    if size < 1 or not 0 <= first <= side - size:
        raise MethodError(
            f"the trigger leaves the observation: {size} cells from {at} where there are {side}; "
            "choose another place or a smaller size"
        )
    return first


def reach(seen: torch.Tensor) -> Sequence[float]:
    """The largest absolute value of each coordinate of vectors [n, 1, 1, k], at least 0.1."""
    largest: list[float] = seen.abs().amax((0, 1, 2)).clamp_min(0.1).tolist()
    return largest
