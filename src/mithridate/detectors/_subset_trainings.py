"""Networks trained on parts of the data, and what each says of every example.

Axes: n examples, m trainings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mithridate.core.attribution import margins
from mithridate.core.data import Dataset
from mithridate.core.files import read_tensors, write_tensors
from mithridate.core.fingerprint import digests
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import logits_of
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.core.view import View

Told = Callable[[int, int], None]
"""Is told the trainings done and the trainings in all."""


@dataclass(frozen=True)
class SubsetTrainings:
    """How to train on parts of the data.

    Attributes:
        network: of the domain, "" is its default.
        epochs: of each training.
        seed: of the networks' weights and of the order of the examples.
        home: The folder that keeps what a training said, None for nowhere.
        told: is told of every training.
    """

    network: str = ""
    epochs: int = 10
    seed: int = 0
    home: Path | None = None
    told: Told | None = None

    def config(self, n: int) -> TrainingConfig:
        """Choose the training for n examples."""
        batch = 256 if n >= 20_000 else 128 if n >= 4_000 else 64
        return TrainingConfig(epochs=self.epochs, batch_size=batch)

    def margins(self, view: View, chosen: torch.Tensor) -> torch.Tensor:
        """Train once for each row of chosen bool[m, n]; gives the margins float32[m, n].

        Trainings do not depend on the order of the examples, which are sorted by their contents.
        """
        labels, classes = view.labels, _names(view)
        data = Dataset(view.inputs, labels, torch.arange(len(labels)), classes)
        order, said = by_content(data), []
        for number, mask in enumerate(chosen):
            kept = None if self.home is None else self.home / f"subset-{number}.safetensors"
            there, _ = read_tensors(kept)
            if "margins" in there:
                said.append(there["margins"])
            else:
                said.append(self._one(view, data, order[mask[order]], number))
                if kept is not None:
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    write_tensors(kept, {"margins": said[-1]}, {})
            if self.told is not None:
                self.told(number + 1, len(chosen))
        return torch.stack(said)

    def _one(self, view: View, data: Dataset, rows: torch.Tensor, number: int) -> torch.Tensor:
        """Train one network and ask it about everybody, float32[n]."""
        place = ("subset", number)
        model = view.domain.network(data, self.network, stream(self.seed, *place, "init"))
        if len(rows) > 1:
            rng, run = stream(self.seed, *place, "fit"), TrainingRun(view.runtime)
            fit(model, data.subset(rows), view.domain, self.config(len(rows)), rng, run)
        logits = logits_of(model, view.domain.prepare(data.inputs), view.runtime)
        return margins(logits, data.labels)


def _names(view: View) -> tuple[str, ...]:
    return tuple(str(label) for label in range(view.classes))


def by_content(data: Dataset) -> torch.Tensor:
    """Give an order int64[n] of the examples that says nothing of where they stand."""
    keys = [d + label.to_bytes(8, "big") for d, label in zip(
        digests(data.inputs), data.labels.tolist(), strict=True)]  # fmt: skip
    return torch.from_numpy(np.argsort(np.array(keys, dtype="S24"), kind="stable"))
