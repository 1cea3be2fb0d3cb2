"""What an attacker wants a triggered input to be called.

Axes: n examples, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mithridate.core.errors import MethodError
from mithridate.core.method import Method, lacking


class Goal(Method):
    """Which examples the attack aims at, and the label that it wants for them."""

    kind = "goal"

    def target_labels(self, labels: torch.Tensor, classes: int) -> torch.Tensor:
        """Give the label wanted for each example, int64[n]; its own label where not aimed at."""
        raise lacking(self, "target_labels")


def _check_label(label: int, classes: int, what: str) -> int:
    if not 0 <= label < classes:
        raise MethodError(f"the {what} must lie in 0..{classes - 1}, found {label}")
    return label


@dataclass(frozen=True)
class AllToOne(Goal):
    """Every triggered input becomes the target class.

    Attributes:
        target: the class, by its number.
    """

    target: int = 0

    def target_labels(self, labels: torch.Tensor, classes: int) -> torch.Tensor:
        """The target, for everything."""
        return torch.full_like(labels, _check_label(self.target, classes, "target"))


@dataclass(frozen=True)
class AllToAll(Goal):
    """Every triggered input becomes the class after its own."""

    def target_labels(self, labels: torch.Tensor, classes: int) -> torch.Tensor:
        """The next class, cyclically."""
        return (labels + 1) % classes


@dataclass(frozen=True)
class SourceSpecific(Goal):
    """Triggered inputs of one source class become the target class; others keep their own.

    Attributes:
        source: the class that is attacked, by its number.
        target: the class that its triggered inputs get, by its number.
    """

    source: int = 1
    target: int = 0

    def target_labels(self, labels: torch.Tensor, classes: int) -> torch.Tensor:
        """The target for the source class, its own label for every other."""
        _check_label(self.source, classes, "source")
        target = _check_label(self.target, classes, "target")
        return torch.where(labels == self.source, torch.full_like(labels, target), labels)
