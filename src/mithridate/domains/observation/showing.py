"""How observations look on a page: the numbers of a vector, or which cells of each plane are on.

Axes: n observations, h rows, w columns, k planes or values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from mithridate.core.showing import EXCERPT

SIGNS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""The first plane that is on at a cell, as one sign."""


def show(inputs: torch.Tensor) -> Observations:
    """Show raw observations."""
    return Observations(inputs)


@dataclass(frozen=True, eq=False)
class Observations:
    """Observations of a data set, written out."""

    inputs: torch.Tensor
    kind: ClassVar[str] = "values"

    def room(self, classes: int) -> int:
        """At most 12: they are read, not glanced at."""
        return 12

    def card(self, row: int, contrast: dict[str, Any]) -> dict[str, Any]:
        """Write an observation.

        Returns:
            pieces: (text, whether it is telling); before and after: characters left out.
        """
        text = written(self.inputs[row])
        return {
            "pieces": [(text[:EXCERPT], False)],
            "before": 0,
            "after": max(0, len(text) - EXCERPT),
        }

    def contrast(self, suspects: torch.Tensor, rest: torch.Tensor) -> dict[str, Any]:
        """Give nothing: what tells suspects apart is a simple feature, which the scan names."""
        return {}


def written(seen: torch.Tensor) -> str:
    """Write numbers of a vector, or a grid of signs: of the first plane that is on, . for none."""
    if seen.dtype != torch.bool:
        return ", ".join(f"{value:.4g}" for value in seen.flatten().tolist())
    first = torch.where(seen.any(2), seen.byte().argmax(2), -1)
    lines = [
        "".join("." if p < 0 else SIGNS[p % len(SIGNS)] for p in row) for row in first.tolist()
    ]
    return " / ".join(lines)
