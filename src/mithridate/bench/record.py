"""What comes out of a cell: one flat record, the only thing that reports read.

It is read again by `migrations.py`, which knows older schemas.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from mithridate.core.plain import finite
from mithridate.stats.intervals import Interval

RECORD_SCHEMA = 2

AXES = (
    "domain", "task", "attack", "rate", "defence", "network", "precision", "trusted", "seed",
    "tuning", "role",
)  # fmt: skip
"""What names a cell; `role` is "defence", "control", or "neighbour" for studies of stability."""


@dataclass(frozen=True)
class Record:
    """One cell: where it stands, how it ended, what was measured and what it cost.

    Attributes:
        key: of the cell's last step.
        cell: the axes.
        settings: of the task, attack and defence in full.
        status: "done", "skipped", "void" or "failed", with the reason in `why`.
        metrics: value, low, high and n of each.
        per_class: lists over the classes.
        curves: lists over epochs or thresholds.
        outcome: "secure", "open", "destroyed" or "kept", see `comparing.py`.
        verdict: of a detector, its p-value and finest p-value.
        evidence: what the defence used.
        cost: of the defence's own steps, and `shared_seconds` of what it shares with others.
        origin: versions and processor.
    """

    key: str
    cell: dict[str, Any]
    settings: dict[str, Any]
    status: str
    why: str = ""
    metrics: dict[str, Interval] = field(default_factory=dict)
    per_class: dict[str, list[float]] = field(default_factory=dict)
    curves: dict[str, list[Any]] = field(default_factory=dict)
    outcome: str = ""
    verdict: dict[str, Any] = field(default_factory=dict)
    evidence: tuple[str, ...] = ()
    cost: dict[str, float] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    schema: int = RECORD_SCHEMA

    def plain(self) -> dict[str, Any]:
        """The record as JSON holds it; what is not finite becomes None."""
        fields: dict[str, Any] = finite(asdict(self))
        fields["metrics"] = {name: finite(tuple(m)) for name, m in self.metrics.items()}
        return fields

    def value(self, metric: str) -> float:
        """A metric's value; not a number where it was not measured."""
        return self.metrics[metric].value if metric in self.metrics else math.nan
