"""What the caller of a training decides about it, whatever the trainer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mithridate.core.objective import Objective
from mithridate.core.runtime import Runtime

Progress = Callable[[int, int], None]
"""Is told the epochs done and the epochs in all, at most."""


@dataclass(frozen=True, eq=False)
class TrainingRun:
    """Where a training computes, who is told how far it is, and where it is kept.

    Attributes:
        runtime: Where and how to compute.
        progress: Is told after every epoch, once the epoch is kept.
        checkpoint: A folder that keeps the training as it goes. A stopped training that is given
            the same folder, data and stream goes on and ends with the same bits.
        objective: What is minimised in place of the mean loss, such as an attacker's; None for the
            trainer's own.
    """

    runtime: Runtime = field(default_factory=Runtime)
    progress: Progress | None = None
    checkpoint: Path | None = None
    objective: Objective | None = None

    def stage(
        self, name: str, done: int, total: int, objective: Objective | None = None
    ) -> TrainingRun:
        """Give the run of one stage of a training, which is kept in a folder of its own.

        Args:
            name: Of the stage; no two stages of a training share one.
            done: Epochs of the stages before it.
            total: Epochs of all stages, at most.
            objective: What the stage minimises.
        """
        told = self.progress

        def progress(epoch: int, _: int) -> None:
            if told is not None:
                told(done + epoch, total)

        folder = None if self.checkpoint is None else self.checkpoint / name
        return replace(self, progress=progress, checkpoint=folder, objective=objective)
