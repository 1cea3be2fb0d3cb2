"""How examples are shown on a page; what they look like, their domain knows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch

EXCERPT = 400
"""Characters shown of a value."""


REST = 2000
"""Examples of a class that stand for the rest of it."""


def spread_evenly(rows: torch.Tensor) -> torch.Tensor:
    """Take at most `REST` of the rows, evenly spaced."""
    step = max(1, math.ceil(len(rows) / REST))
    return rows[::step]


class Shown(Protocol):
    """Examples of one kind of input, ready to be shown.

    Attributes:
        kind: "pictures", "texts" or "values": which part of a page lays out the cards.
    """

    kind: ClassVar[str]

    def room(self, classes: int) -> int:
        """How many examples of each sort a class may show."""

    def card(self, row: int, contrast: dict[str, Any]) -> dict[str, Any]:
        """Show one example."""

    def contrast(self, suspects: torch.Tensor, rest: torch.Tensor) -> dict[str, Any]:
        """Show what suspects (positions int64[k]) have and the rest of the class has not."""


@dataclass(frozen=True, eq=False)
class WrittenValues:
    """Inputs [n] of any kind, written out as Python writes them: what a new domain begins with."""

    inputs: Sequence[Any] | Any
    kind: ClassVar[str] = "values"

    def room(self, classes: int) -> int:
        """At most 12."""
        return 12

    def card(self, row: int, contrast: dict[str, Any]) -> dict[str, Any]:
        """Give the beginning of the value.

        Args:
            row: of the example.
            contrast: not looked at.

        Returns:
            pieces: (text, whether it is telling); before and after: characters left out.
        """
        value = self.inputs[row]
        written = value if isinstance(value, str) else repr(value)
        after = max(0, len(written) - EXCERPT)
        return {"pieces": [(written[:EXCERPT], False)], "before": 0, "after": after}

    def contrast(self, suspects: torch.Tensor, rest: torch.Tensor) -> dict[str, Any]:
        """Give nothing: values that nobody knows cannot be set against each other."""
        return {}
