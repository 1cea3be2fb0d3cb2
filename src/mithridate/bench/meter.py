"""What a step costs: seconds, memory, and examples passed through a network."""

from __future__ import annotations

import contextlib
import resource
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Meter:
    """Measures one step at a time.

    seconds: of the clock; cpu_seconds: of this process; peak_mb: largest resident memory of the
    process during the step, where the system can reset it, else since it began; forward, backward:
    examples passed through the networks that were watched, and through their copies.
    """

    def __init__(self) -> None:
        self.passed, self.returned = 0, 0
        self.start()

    def start(self) -> None:
        """Begin a step."""
        self.passed = self.returned = 0
        with contextlib.suppress(OSError):
            CLEAR.write_text("5")  # resets the peak
        self.began, self.cpu = time.perf_counter(), time.process_time()

    def cost(self) -> dict[str, float]:
        """Give what the step has cost so far."""
        return {
            "seconds": round(time.perf_counter() - self.began, 4),
            "cpu_seconds": round(time.process_time() - self.cpu, 4),
            "peak_mb": round(_peak(), 1),
            "forward": float(self.passed),
            "backward": float(self.returned),
        }

    def watch(self, model: nn.Module) -> nn.Module:
        """Count the examples that pass through a network."""
        if getattr(model, "is_watched", False):
            return model

        def passed(_: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            self._passed(inputs, output)  # a function, since copies of a network share it

        model.register_forward_hook(passed)
        model.is_watched = True  # type: ignore[assignment]
        return model

    def _passed(self, inputs: tuple[Any, ...], output: Any) -> None:
        n = len(inputs[0])
        self.passed += n
        if isinstance(output, torch.Tensor) and output.requires_grad:
            output.register_hook(lambda gradient: self._returned(n))

    def _returned(self, n: int) -> None:
        self.returned += n


def _peak() -> float:
    """The largest resident memory in MB."""
    with contextlib.suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return float(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
