"""A plus, and parts of triggers, for attackers who share one trigger between them.

Axes: n images, k channels, h rows, w columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import MethodError
from mithridate.core.method import Trigger
from mithridate.domains.image.triggers import PatchTrigger, check, corner


@dataclass(frozen=True)
class PlusTrigger(Trigger):
    """A plus of one colour: a column of pixels, and a row of them through its middle.

    The row lies at (size - 1) // 2 below the top; in the paper, on 32x32 pixels, the column is 7
    long, and the row a pixel higher and to the left.

    Attributes:
        size: pixels of each of the two lines.
        row: of the top of the column, negative from the end.
        column: of the left end of the row, negative from the end.
        colour: 0..255 of each channel.

    Raises:
        MethodError: where the plus leaves the image, or a colour is no byte.
    """

    paper = (
        "Huang et al., Lockdown: Backdoor Defense for Federated Learning with Isolated Subspace "
        "Training, NeurIPS 2023"
    )

    size: int = 7
    row: int = 5
    column: int = 2
    colour: tuple[int, int, int] = (255, 255, 0)

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Set the pixels in every image."""
        if not all(0 <= value <= 255 for value in self.colour):
            raise MethodError(f"a colour must lie in 0..255, found {self.colour}")
        stamped = check(inputs).clone()
        row = corner(self.row, self.size, inputs.shape[2])
        column = corner(self.column, self.size, inputs.shape[3])
        colour = torch.tensor(self.colour, dtype=torch.uint8)[: inputs.shape[1]].view(-1, 1)
        middle = (self.size - 1) // 2
        stamped[:, :, row : row + self.size, column + middle] = colour
        stamped[:, :, row + middle, column : column + self.size] = colour
        return stamped

    def divided(self, parts: int) -> tuple[Trigger, ...]:
        """Give so many parts of nearly equal size."""
        return tuple(TriggerPart(self, part, parts) for part in range(parts))


@dataclass(frozen=True)
class TriggerPart(Trigger):
    """Stamp one part of a plus or a square, which touch the same few pixels of every image.

    The pixels that the whole trigger changes in a black or in a white image are divided, row by
    row, into parts of nearly equal size.

    Attributes:
        whole: the trigger that is divided.
        part: which part, from 0.
        parts: how many there are.

    Raises:
        MethodError: where there is no such part, or the trigger has too few pixels.
    """

    paper = "Xie et al., DBA: Distributed Backdoor Attacks against Federated Learning, ICLR 2020"

    whole: PlusTrigger | PatchTrigger = field(default_factory=PlusTrigger)
    part: int = 0
    parts: int = 4

    def __call__(self, inputs: Inputs, rng: np.random.Generator) -> Inputs:
        """Stamp the whole, and take back what is of other parts."""
        if not 0 <= self.part < self.parts:
            raise MethodError(
                f"expected part 0..{self.parts - 1} of {self.parts}, found {self.part}"
            )
        images = check(inputs)
        flat = torch.zeros(2, *images.shape[1:], dtype=torch.uint8)
        flat[1] = 255
        probing, stamping = rng.spawn(2)
        touched = (self.whole(flat, probing) != flat).any(0).any(0)
        places = touched.flatten().nonzero().flatten()
        if len(places) < self.parts:
            raise MethodError(
                f"{self.whole.name()} touches {len(places)} pixels, which are no {self.parts} "
                "parts; divide it into fewer"
            )
        mine = torch.zeros_like(touched)
        mine.view(-1)[places.tensor_split(self.parts)[self.part]] = True
        return torch.where(mine, self.whole(images, stamping), images)
