"""Scan, then correct the labels of what was flagged, or take what it taught out of the network.

Axes: n suspect and m trusted examples, b examples of a batch, k flagged examples.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.inference import accuracy, predict
from mithridate.core.objective import Batch
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.training_run import Progress, TrainingRun
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.damage import set_apart
from mithridate.pipelines.filtered import Cleansed
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.passes import Passes
from mithridate.pipelines.scan import DataScanner, choose_training


@dataclass(frozen=True)
class Unlearned:
    """Scan the data, then make the network of the scan forget what the flagged examples taught.

    Attributes:
        scanner: how to scan.
        by: "relabel" trains a network without the flagged examples, takes its predictions for their
            labels and fine-tunes on all; "unlearn" climbs the loss of the flagged examples and
            descends that of the others until at most 1 in c of the flagged is called by its label,
            for at most `ceiling` of loss each.
        training: of the fine-tuning or unlearning, None for half the epochs that a scan trains so
            many examples and a tenth of the rate.
        apart: share of the trusted examples that only "unlearn" sets apart, to stop by: once their
            accuracy has fallen by more than `tolerance`, the network of the epoch before is kept.
    """

    scanner: DataScanner = field(default_factory=DataScanner)
    by: Literal["relabel", "unlearn"] = "relabel"
    training: TrainingConfig | None = None
    apart: float = 0.2
    tolerance: float = 0.05
    ceiling: float = 5.0

    def train(
        self, data: Dataset, trusted: Dataset | None, domain: Domain, seed: int = 0,
        *, runtime: Runtime | None = None, progress: Progress | None = None,
        step: Announce | None = None, checkpoint: Path | None = None,
    ) -> Cleansed:  # fmt: skip
        """Train on data that cannot be trusted; see `Filtered.train`.

        Raises:
            MethodError: where unlearning has no trusted examples to stop by.
        """
        if self.by not in ("relabel", "unlearn"):
            raise MethodError(f"expected by='relabel' or 'unlearn', found {self.by!r}")
        if self.by == "unlearn" and (trusted is None or not len(trusted)):
            raise MethodError("unlearning needs trusted examples to stop by, found none")
        runtime, say, held = runtime or Runtime(), step or (lambda _: None), None
        if self.by == "unlearn" and trusted is not None:
            trusted, held = set_apart(trusted, self.apart, stream(seed, "unlearned", "apart"))
        with Passes() as passes:
            scan = self.scanner.scan(
                data, trusted, domain, seed, runtime=runtime, progress=progress, step=step,
                checkpoint=checkpoint and checkpoint / "scan",
            )  # fmt: skip
            if not scan.flagged.any():
                ended = "nothing was flagged, so the network of the scan was kept"
                return Cleansed(scan, scan.model, ended, passes.cost())
            work = Forgetting(self, scan, data, trusted, domain, runtime, seed)
            if held is not None:
                say("unlearning what was flagged")
                model, ended = work.unlearn(held, progress)
            else:
                say("training without what was flagged, to give it labels")
                model, ended = work.relabel(progress, checkpoint and checkpoint / "again")
        return Cleansed(scan, model, ended, passes.cost())


@dataclass(frozen=True, eq=False)
class Forgetting:
    """The work on what a scan flagged; `how` says how."""

    how: Unlearned
    scan: DataScan
    data: Dataset
    trusted: Dataset | None
    domain: Domain
    runtime: Runtime
    seed: int

    def relabel(self, progress: Progress | None, checkpoint: Path | None) -> tuple[nn.Module, str]:
        """Give the flagged examples the labels that the others teach, and fine-tune."""
        rows = self.scan.flagged
        without = self.how.scanner.train(
            self.data.subset(~rows), self.trusted, self.domain, self.seed, self.runtime,
            progress=progress, checkpoint=checkpoint,
        )  # fmt: skip
        labels = self.data.labels.clone()
        flagged = self.data.subset(rows)
        labels[rows] = predict(without.model, self.domain.prepare(flagged.inputs), self.runtime)
        changed = int((labels != self.data.labels).sum())
        model = copy.deepcopy(self.scan.model)
        fit(
            model, self._union(replace(self.data, labels=labels)), self.domain, self.training,
            self._stream("relabel"), TrainingRun(self.runtime, progress),
        )  # fmt: skip
        ended = f"{changed} of {len(flagged)} flagged examples got another label"
        return model, f"{ended}, and the network was fine-tuned"

    def unlearn(self, held: Dataset, progress: Progress | None) -> tuple[nn.Module, str]:
        """Climb the loss of the flagged examples until they are forgotten, or harm begins."""
        model, union = copy.deepcopy(self.scan.model), self._union(self.data)
        rows = torch.zeros(len(union), dtype=torch.bool)
        rows[: len(self.data)] = self.scan.flagged
        flagged, device = self.data.subset(self.scan.flagged), self.runtime.device
        signs = torch.where(rows, -1.0, 1.0).to(device)
        limits = torch.where(rows, self.how.ceiling, torch.inf).to(device)
        least = accuracy(model, held, self.domain, self.runtime) - self.how.tolerance
        kept: dict[str, torch.Tensor] = copy.deepcopy(model.state_dict())
        ended = f"unlearning ended after {self.training.epochs} epochs, its limit"

        def climb(batch: Batch) -> torch.Tensor:
            return signs[batch.rows] * batch.losses.minimum(limits[batch.rows])

        def enough(epochs: int) -> bool:
            nonlocal kept, ended
            if accuracy(model, held, self.domain, self.runtime) < least:
                model.load_state_dict(kept)
                ended = f"unlearning ended after {epochs - 1} epochs, before it did harm"
                return True
            kept = copy.deepcopy(model.state_dict())
            share = accuracy(model, flagged, self.domain, self.runtime)
            if share <= 1 / len(self.data.classes):
                ended = f"unlearning ended after {epochs} epochs, with the examples forgotten"
            return share <= 1 / len(self.data.classes)

        fit(
            model, union, self.domain, self.training, self._stream("unlearn"),
            TrainingRun(self.runtime, progress, objective=climb), enough=enough,
        )  # fmt: skip
        share = accuracy(model, flagged, self.domain, self.runtime)
        return model, f"{ended}; {share:.0%} of {len(flagged)} flagged keep their label"

    @property
    def training(self) -> TrainingConfig:
        """How long and how fast to tune."""
        usual = choose_training(len(self._union(self.data)))
        tuned = replace(
            usual, epochs=max(1, usual.epochs // 2), learning_rate=usual.learning_rate / 10
        )
        return self.how.training or tuned

    def _union(self, data: Dataset) -> Dataset:
        return concatenate(data, self.trusted) if self.trusted is not None else data

    def _stream(self, *place: str) -> np.random.Generator:
        return stream(self.seed, "unlearned", *place)
