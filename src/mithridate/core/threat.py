"""What a defender is granted."""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.core.errors import MethodError

EVIDENCE = (
    "inputs", "labels", "features", "logits", "losses", "model", "clean", "queries", "attribution",
)  # fmt: skip
"""The closed list of evidence; a new name needs two methods that use it and no domain word."""


@dataclass(frozen=True)
class ThreatModel:
    """What evidence the defender is granted."""

    granted: frozenset[str] = frozenset(EVIDENCE)

    def __post_init__(self) -> None:
        unknown = sorted(self.granted - set(EVIDENCE))
        if unknown:
            raise MethodError(f"unknown evidence {unknown}; known: {list(EVIDENCE)}")
