"""What the service measures of itself, in the form that Prometheus reads.

Axes: n inputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mithridate.core.errors import MissingExtra
from mithridate.pipelines.calibration import POOLED

if TYPE_CHECKING:
    from mithridate.pipelines.guarded import Decisions, Guarded

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TENTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Bounds of the histograms; p-values of clean inputs are uniform, so drift shows in their shape."""


class Meters:
    """The counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        try:
            import prometheus_client as client
        except ImportError:
            raise MissingExtra(
                "the service counts with prometheus-client; pip install 'mithridate[serve]'"
            ) from None
        self.registry = client.CollectorRegistry()
        at: dict[str, Any] = {"registry": self.registry}
        name = "mithridate_"
        self.requests = client.Counter(
            name + "requests", "Requests answered, by path and status.", ["path", "status"], **at
        )
        self.accepted = client.Counter(name + "accepted", "Requests taken into the queue.", **at)
        self.answered = client.Counter(
            name + "answered", "Requests of the queue that ended, by how.", ["how"], **at
        )
        self.inputs = client.Counter(name + "inputs", "Inputs judged, by action.", ["action"], **at)
        self.waiting = client.Gauge(name + "queue_length", "Inputs that wait.", **at)
        self.latency = client.Histogram(
            name + "latency_seconds", "From a request to its answer.", buckets=SECONDS, **at
        )
        self.sizes = client.Histogram(
            name + "batch_size", "Inputs of a batch.", buckets=SIZES, **at
        )
        self.p_values = client.Histogram(
            name + "p_value", "P-values; uniform where inputs are like the trusted examples.",
            buckets=TENTHS, **at,
        )  # fmt: skip
        self.level = client.Gauge(name + "level", "The level asked for.", **at)
        self.reached = client.Gauge(
            name + "calibrated_level", "Share of clean inputs refused, by calibration group.",
            ["group"], **at,
        )  # fmt: skip
        for action in ("accept", "refuse", "abstain"):
            self.inputs.labels(action)
        for how in ("judged", "failed", "timed out", "gone"):
            self.answered.labels(how)

    def describe(self, guard: Guarded) -> None:
        """Say what the guard was calibrated for."""
        self.level.set(guard.level)
        for group in guard.calibration.groups:
            name = "pooled" if group == POOLED else str(group)
            self.reached.labels(name).set(guard.calibration.reached(group, guard.level))

    def count(self, decided: Decisions) -> None:
        """Count what was decided."""
        for action, p_value in zip(decided.action, decided.p_values.tolist(), strict=True):
            self.inputs.labels(action).inc()
            if action != "abstain":
                self.p_values.observe(p_value)

    def text(self) -> bytes:
        """Everything that was measured, as Prometheus reads it."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
