"""A fresh network, trained by any trainer."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.fit import Progress
from mithridate.core.method import Trained, Trainer
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream


def train(
    trainer: Trainer,
    data: Dataset,
    domain: Domain,
    seed: int = 0,
    *,
    network: str = "",
    runtime: Runtime | None = None,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> Trained:
    """Train a fresh network of the domain; network: its name, "" is the default.

    Progress is told and states are kept where the trainer can do so; see `resumes`.
    """
    model = trainer.form(domain.network(data, network, stream(seed, "train", "init")))
    wanted = {"progress": progress, "checkpoint": checkpoint}
    more: Any = {
        name: value for name, value in wanted.items() if name in accepted_arguments(trainer)
    }
    return trainer.train(model, data, domain, stream(seed, "train", "fit"), runtime, **more)


def accepted_arguments(trainer: Trainer) -> set[str]:
    """Name what the verb of a trainer can be given."""
    return set(inspect.signature(trainer.train).parameters)


def resumes(trainer: Trainer) -> bool:
    """Tell whether a stopped training goes on where it was."""
    return "checkpoint" in accepted_arguments(trainer)
