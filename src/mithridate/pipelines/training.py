"""A fresh network, trained by any trainer."""

from __future__ import annotations

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.method import Trained, Trainer
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun


def train(
    trainer: Trainer,
    data: Dataset,
    domain: Domain,
    seed: int = 0,
    *,
    network: str = "",
    run: TrainingRun | None = None,
) -> Trained:
    """Train a fresh network of the domain; network: its name, "" is the default."""
    model = trainer.form(domain.network(data, network, stream(seed, "train", "init")))
    return trainer.train(model, data, domain, stream(seed, "train", "fit"), run)
