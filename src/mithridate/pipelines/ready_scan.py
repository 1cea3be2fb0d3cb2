"""The work of a scan of data, in its order: settle the training, estimate, scan.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.fingerprint import fingerprint, place_of
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.timing import extrapolate
from mithridate.core.training_run import Progress, TrainingRun
from mithridate.pipelines import kept_network
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.quick_look import Look, quick_scan
from mithridate.pipelines.scan import DataScanner, Saw, choose_training


@dataclass(frozen=True, eq=False)
class ReadyScan:
    """A scan that is ready to begin.

    Attributes:
        scanner: How to scan.
        data: The suspects.
        trusted: Examples known to be clean, or None.
        domain: Of all of them.
        model: A given network, None where one is trained.
        saw: What that network was trained on.
        seed: Of everything that is drawn at random.
        runtime: Where it is computed.
        home: The folder in which an unfinished training is kept, None for nowhere.

    """

    scanner: DataScanner
    data: Dataset
    trusted: Dataset | None
    domain: Domain
    model: nn.Module | None
    saw: Saw
    seed: int
    runtime: Runtime
    home: Path | None

    @classmethod
    def of(
        cls, scanner: DataScanner, data: Dataset, trusted: Dataset | None, domain: Domain,
        *, model: nn.Module | Path | None = None, saw: Saw = "suspect", epochs: int | None = None,
        seed: int = 0, runtime: Runtime | None = None, home: Path | None = None,
    ) -> ReadyScan:  # fmt: skip
        """Settle how long a network is trained, or read the one that is given.

        Args:
            scanner: How to scan.
            data: The suspects.
            trusted: Examples known to be clean, or None.
            domain: Of all of them.
            model: A network, or its weights, instead of training one.
            saw: What that network was trained on.
            epochs: Of a training; None chooses by the number of examples.
            seed: Of everything that is drawn at random.
            runtime: Where it is computed.
            home: The folder in which an unfinished training is kept, None for nowhere.
        """
        union = concatenate(data, trusted) if trusted else data
        config = scanner.training or choose_training(len(union))
        scanner = replace(scanner, training=replace(config, epochs=epochs or config.epochs))
        if isinstance(model, Path):
            rng = stream(seed, "weights")
            model = kept_network.load(model, domain, union, scanner.network, rng)
        return cls(scanner, data, trusted, domain, model, saw, seed, runtime or Runtime(), home)

    @property
    def union(self) -> Dataset:
        """Suspect and trusted examples."""
        return concatenate(self.data, self.trusted) if self.trusted else self.data

    @property
    def training(self) -> TrainingConfig:
        """How a network is trained."""
        return self.scanner.training or choose_training(len(self.union))

    @cached_property
    def checkpoint(self) -> Path | None:
        """Where the training is kept while it runs; another training has another folder."""
        if self.home is None or self.model is not None:
            return None
        network, seed = self.scanner.network, self.seed
        parts = (fingerprint(self.union), self.domain, self.training, network, seed)
        return self.home / f"unfinished-{place_of(*parts)}"

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run left a part of this training."""
        return self.checkpoint is not None and any(self.checkpoint.glob("*.safetensors"))

    def seconds(self) -> float:
        """Estimate how long the training takes by training a network of its kind on few batches."""
        union, rng = self.union, stream(self.seed, "estimate")
        order = rng.permutation(len(union))
        model = self.domain.network(union, self.scanner.network, rng)
        once, run = replace(self.training, epochs=1), TrainingRun(self.runtime)

        def on_few(count: int) -> None:
            fit(model, union.subset(order[:count]), self.domain, once, rng, run)

        return extrapolate(on_few, 2 * self.training.batch_size, len(union)) * self.training.epochs

    def looked(self, step: Announce | None = None) -> Look:
        """Look at what needs no network; `step` is told what begins."""
        may_compare = self.model is None or self.saw != "suspect"
        return self.scanner.looked(self.data, self.trusted, self.domain, may_compare, step)

    def quick(self, seen: Look) -> DataScan:
        """Decide by a quick look alone."""
        return quick_scan(seen, self.data, self.scanner.rule, self.seed)

    def scanned(
        self,
        step: Announce | None = None,
        progress: Progress | None = None,
        seen: Look | None = None,
    ) -> DataScan:
        """Scan.

        Args:
            step: Is told what begins.
            progress: Is told of every epoch.
            seen: The quick look, where it was taken already.

        """
        return self.scanner.scan(
            self.data, self.trusted, self.domain, self.seed,
            runtime=self.runtime, model=self.model, saw=self.saw,
            progress=progress, step=step, checkpoint=self.checkpoint, seen=seen,
        )  # fmt: skip
