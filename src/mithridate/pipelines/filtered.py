"""Scan, leave out what was flagged, and train again.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.method import Trainer
from mithridate.core.runtime import Runtime
from mithridate.core.training_run import Progress, TrainingRun
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.passes import Passes
from mithridate.pipelines.scan import DataScanner
from mithridate.pipelines.training import train


@dataclass(frozen=True, eq=False)
class Cleansed:
    """A network that a scan had a say in.

    Attributes:
        scan: what was found, with the network that was trained on everything.
        model: the network at the end, that of the scan where nothing was done.
        ended: what was done to it, in plain words.
        cost: seconds, and examples passed forward and backward.
        notes: of the trainer.
    """

    scan: DataScan
    model: nn.Module
    ended: str
    cost: dict[str, float]
    notes: dict[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Filtered:
    """Scan the data, drop the flagged examples and train again on the rest and the trusted ones.

    Attributes:
        scanner: how to scan.
        trainer: how to train again, None as the scan does: then the network of the scan is kept
            where nothing was flagged.
    """

    scanner: DataScanner = field(default_factory=DataScanner)
    trainer: Trainer | None = None

    def train(
        self, data: Dataset, trusted: Dataset | None, domain: Domain, seed: int = 0,
        *, runtime: Runtime | None = None, progress: Progress | None = None,
        step: Announce | None = None, checkpoint: Path | None = None,
    ) -> Cleansed:  # fmt: skip
        """Train on data that cannot be trusted.

        Without trusted examples nothing is ever flagged.

        Args:
            checkpoint: a folder where a stopped training is kept and goes on.
        """
        runtime, say = runtime or Runtime(), step or (lambda _: None)
        with Passes() as passes:
            scan = self.scanner.scan(
                data, trusted, domain, seed, runtime=runtime, progress=progress, step=step,
                checkpoint=checkpoint and checkpoint / "scan",
            )  # fmt: skip
            kept = data.subset(~scan.flagged)
            if self.trainer is None and len(kept) == len(data):
                ended = "nothing was flagged, so the network of the scan was kept"
                return Cleansed(scan, scan.model, ended, passes.cost())
            say("training again without what was flagged")
            again = checkpoint and checkpoint / "again"
            if self.trainer is None:
                trained = self.scanner.train(
                    kept, trusted, domain, seed, runtime, progress=progress, checkpoint=again
                )
            else:
                trained = train(
                    self.trainer, concatenate(kept, trusted) if trusted is not None else kept,
                    domain, seed, network=self.scanner.network,
                    run=TrainingRun(runtime, progress, again),
                )  # fmt: skip
        ended = f"a network was trained again without {len(data) - len(kept)} flagged examples"
        return Cleansed(scan, trained.model, ended, passes.cost(), trained.notes)
