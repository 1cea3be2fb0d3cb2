"""The control that repairs nothing, to test whatever measures repairs."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
from torch import nn

from mithridate.core.method import Repair
from mithridate.core.view import View


@dataclass(frozen=True)
class DoNothing(Repair):
    """Control that gives the model back as it is: every difference from it must be 0."""

    def repair(self, view: View, rng: np.random.Generator) -> nn.Module:
        """Copy the model, in evaluation mode."""
        return copy.deepcopy(view.model).eval()
