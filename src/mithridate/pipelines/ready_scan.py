"""The work of a scan of data, in its order: settle the training, estimate, scan.

Axes: n suspect and m trusted examples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain, suited
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.fingerprint import fingerprint, place_of
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.runtime import Runtime
from mithridate.core.spelling import option
from mithridate.core.streams import stream
from mithridate.core.timing import extrapolate, seconds_of
from mithridate.core.training_run import Progress, TrainingRun
from mithridate.detectors.strongest_feature import StrongestFeature
from mithridate.pipelines import kept_network
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.copies_judged import Again, alone
from mithridate.pipelines.earned import earned, joined, skipped, unmeasured
from mithridate.pipelines.features_found import without_subsets
from mithridate.pipelines.finding import DataScan
from mithridate.pipelines.planted import Powers
from mithridate.pipelines.planting import Ground
from mithridate.pipelines.power import Measuring
from mithridate.pipelines.quick_look import UNSEEN, Look, quick_scan
from mithridate.pipelines.rehearsed import seconds_after_training
from mithridate.pipelines.scan import DataScanner, Saw, choose_training

FEW = 256
"""Examples that an estimate trains on, by another trainer than the ordinary one."""

TOO_LONG = "each copy with a planted backdoor would take all trainings on subsets again"


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
        if scanner.trainer and epochs is not None:
            raise MethodError(
                f"{option('epochs')} is of the ordinary training; leave it out beside "
                f"{option('trainer', scanner.trainer)}"
            )
        domain = suited(domain, scanner.network)
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
        how = self.training if not self.scanner.trainer else self.scanner.trainer
        parts = (fingerprint(self.union), self.domain, how, network, seed)
        return self.home / f"unfinished-{place_of(*parts)}"

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run left a part of this training."""
        return self.checkpoint is not None and any(self.checkpoint.glob("*.safetensors"))

    def seconds(self) -> float:
        """Estimate how long the training takes by training a network of its kind on few batches."""
        union, rng = self.union, stream(self.seed, "estimate")
        order = rng.permutation(len(union))
        if self.scanner.trainer:

            def grown(count: int) -> None:
                few = union.subset(order[:count])
                self.scanner.train(few, None, self.domain, self.seed, self.runtime)

            return extrapolate(grown, FEW, len(union))
        model = self.domain.network(union, self.scanner.network, rng)
        once, run = replace(self.training, epochs=1), TrainingRun(self.runtime)

        def on_few(count: int) -> None:
            fit(model, union.subset(order[:count]), self.domain, once, rng, run)

        return extrapolate(on_few, 2 * self.training.batch_size, len(union)) * self.training.epochs

    def seconds_of_subsets(self, scan: float) -> float:
        """Estimate how long the trainings on subsets take; 0 where none was asked for.

        Args:
            scan: Seconds of the training on all examples.
        """
        asked = [d for d in self.scanner.asked if isinstance(d, StrongestFeature)]
        return sum(
            scan / self.training.epochs * detector.epochs * detector.trainings / 2
            for detector in asked
        )

    @cached_property
    def subsets(self) -> Path | None:
        """Where it is kept what trainings on subsets said, until all is done."""
        if self.home is None or self.model is not None:
            return None
        parts = (fingerprint(self.union), self.domain, self.training, self.scanner.asked, self.seed)
        return self.home / f"unfinished-subsets-{place_of(*parts)}"

    def seconds_after(self, seen: Look) -> float:
        """Estimate how long features, detectors and the test take after the training."""
        rng = stream(self.seed, "estimate", "detectors")
        fresh = self.domain.network(self.union, self.scanner.network, rng)
        model = self.model or self.scanner.trained_by(len(self.union)).form(fresh).eval()
        return seconds_after_training(self.scanner, seen, self.domain, model, self.runtime)

    def looked(self, step: Announce | None = None) -> Look:
        """Look at what needs no network; `step` is told what begins."""
        may_compare = self.model is None or self.saw != "suspect"
        return self.scanner.looked(self.data, self.trusted, self.domain, may_compare, step)

    def quick(self, seen: Look) -> DataScan:
        """Decide by a quick look alone."""
        return quick_scan(seen, self.data, self.scanner.rule, self.seed)

    @cached_property
    def planting(self) -> Path | None:
        """Where it is kept what was found in copies with planted backdoors, until all is done."""
        if self.home is None or self.model is not None:
            return None
        known = self.trusted and fingerprint(self.trusted)
        parts = (fingerprint(self.data), known, self.domain, self.scanner, self.seed)
        return self.home / f"unfinished-power-{place_of(*parts)}"

    def seconds_of_power(self, seen: Look, scan: float, glance: DataScan | None) -> float:
        """Estimate how long it takes to measure the power; 0 where nothing will be planted.

        Args:
            seen: The quick look, which says how long one takes.
            scan: Seconds of a scan with its training.
            glance: What the quick look found, where it could judge.

        """
        if not self._brief.detectors:
            return 0.0  # copies would be judged by many trainings each
        classes = [] if glance is None else [c for c in glance.classes if c.suspects]
        asked = self.scanner.smallest * len(self.data)
        if any(c.visible is None or c.visible > asked for c in classes):
            return 0.0  # the answer will not be "clean"
        try:
            return self._measuring(seen, quick=False, scan=glance).seconds(
                self._seconds_of_look(seen), scan
            )
        except CannotJudge:
            return 0.0

    def _seconds_of_look(self, seen: Look) -> float:
        """Measure how long a quick look at one copy takes."""
        if not seen.judged or not self.scanner.power:
            return 0.0
        others = len(seen.able) - len(seen.judged)
        judging = seconds_of(lambda: alone(seen, self.scanner.rule, self.seed, others))
        return seen.settling + seen.seconds + judging

    def powered(
        self,
        scan: DataScan,
        seen: Look,
        step: Announce | None = None,
        progress: Progress | None = None,
        *,
        quick: bool = False,
    ) -> DataScan:
        """Say what a scan that found nothing would have missed.

        Args:
            scan: Its answer, which stays where something was found.
            seen: The quick look that it began with.
            step: Is told what begins.
            progress: Is told of every epoch.
            quick: Whether the answer is that of a quick look.

        """
        verdict = scan.verdict
        nothing = verdict.answer == "clean" or (quick and verdict.why == UNSEEN)
        if not nothing:
            return scan
        if not self.scanner.power or not self._brief.detectors:
            why = unmeasured(TOO_LONG) if self.scanner.power else skipped()
            return replace(scan, verdict=replace(verdict, why=joined(verdict.why, why)))
        own = self.saw == "neither"
        again = Again(
            self._brief, self.trusted, self.domain, self.runtime, self.model if own else None,
            progress,
        )  # fmt: skip
        look = again.quick if quick else again.glance
        whole = None if quick or not (own or self.model is None) else again.whole
        try:
            measuring = self._measuring(seen, quick, scan, step)
            powers = measuring.powers(look if seen.judged else None, whole)
        except CannotJudge as why:
            powers = Powers.none(self.scanner.smallest, self.scanner.enough, str(why))
        return earned(scan, powers)

    @property
    def _brief(self) -> DataScanner:
        """The scanner without trainings on subsets, by which copies are judged."""
        plain = without_subsets(self.scanner.detectors)
        return replace(self.scanner, detectors=plain, thorough=False)

    def _measuring(
        self, seen: Look, quick: bool, scan: DataScan | None = None, step: Announce | None = None
    ) -> Measuring:
        classes = scan.classes if scan else ()
        kept = self.planting and self.planting / ("quick" if quick else "whole")
        return Measuring(
            Ground.of(self.data, seen.who, self.domain, classes), self.scanner.smallest,
            self.scanner.level, self.scanner.enough, self.scanner.power, self.seed, kept,
            step or (lambda _: None),
        )  # fmt: skip

    def scanned(
        self,
        step: Announce | None = None,
        progress: Progress | None = None,
        seen: Look | None = None,
    ) -> DataScan:
        """Scan, and where nothing is found say what would have been missed.

        Args:
            step: Is told what begins.
            progress: Is told of every epoch.
            seen: The quick look, where it was taken already.

        """
        seen = seen or self.looked(step)
        scan = self.scanner.scan(
            self.data, self.trusted, self.domain, self.seed,
            runtime=self.runtime, model=self.model, saw=self.saw,
            progress=progress, step=step, checkpoint=self.checkpoint, seen=seen,
            subsets=self.subsets,
        )  # fmt: skip
        return self.powered(scan, seen, step, progress)
