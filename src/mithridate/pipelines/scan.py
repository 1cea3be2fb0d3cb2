"""From suspect data to a verdict with a stated error rate.

The suspect and the trusted examples train one network together and are scored together, in an order
that does not depend on who is trusted. Where the suspect data are clean, both are exchangeable
within each class, so every p-value below is exact, whatever the detectors do and however much the
network memorises.
Axes: n suspect and m trusted examples, N = n + m, D detectors, C classes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import nn

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.fast import FastTraining
from mithridate.core.fit import TrainingConfig
from mithridate.core.method import Detector, Trained, Trainer
from mithridate.core.registry import get
from mithridate.core.runtime import Runtime
from mithridate.core.streams import stream
from mithridate.core.timing import now
from mithridate.core.training_run import Progress, TrainingRun
from mithridate.core.view import View
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.faint_pattern import FaintPattern
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.detectors.simple_features import SimpleFeatures
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.spectre import Spectre
from mithridate.detectors.strongest_feature import StrongestFeature
from mithridate.pipelines.announcing import Announce
from mithridate.pipelines.compared import Compared
from mithridate.pipelines.features_found import Thorough, on_network, with_subsets
from mithridate.pipelines.finding import DataScan, Judged, Rule, judge_examples
from mithridate.pipelines.quick_look import Look, look
from mithridate.pipelines.spreading import spread
from mithridate.trainers.standard import Standard

Saw = Literal["neither", "suspect", "both"]
"""Which examples a given model was trained on; only "suspect" breaks exchangeability."""

SAW_SUSPECTS = (
    "the given model was trained on the suspect examples and not on the trusted ones, so their "
    "scores cannot be compared; one is needed that saw both or neither (--model-saw)"
)


def default_detectors() -> tuple[Detector, ...]:
    """The detectors of an ordinary scan, each with its paper's defaults."""
    return (
        SimpleFeatures(),
        FaintPattern(),
        SpectralSignatures(),
        ActivationClustering(),
        Spectre(),
        EarlyLoss(),
        NearestNeighbours(),
    )


def choose_training(n: int) -> TrainingConfig:
    """Choose a training for n examples: at least 8 epochs and about 800 steps."""
    batch = 256 if n >= 20_000 else 128 if n >= 4_000 else 64
    steps_per_epoch = max(1, n // batch)
    return TrainingConfig(epochs=max(8, min(60, round(800 / steps_per_epoch))), batch_size=batch)


def choose_fast(n: int) -> FastTraining:
    """Choose a fast training for n examples: six tenths of the epochs of `choose_training`."""
    epochs = max(5, round(0.6 * choose_training(n).epochs))
    return FastTraining(epochs=epochs, batch_size=256 if n >= 4_000 else 128)


@dataclass(frozen=True)
class DataScanner:
    """How to scan a data set.

    Attributes:
        level: probability of the verdict "flagged" on clean data.
        fdr: expected share of clean examples among those named.
        fdr_bound: name only so many that this share is kept with 95 % confidence, and not on
            average; the list is shorter, and empty where the trusted examples are too few.
        smallest: "clean" is said only if a backdoor of this share of the data set, in one class and
            perfectly ranked, would have been flagged.
        power: where nothing is found, known backdoors are planted in copies of the data, and a
            network is trained on so many of these; 0 plants nothing, and then nobody knows what was
            missed.
        enough: "clean" is said only if of at least one kind of planted backdoor this share was
            found at the size `smallest`.
        thorough: also train on subsets of the data, and ask which feature they teach most strongly;
            that takes many times as long.
        network: of the domain, "" is its default.
        training: None chooses by the number of examples.
        trainer: who trains the model that looks at the examples, such as boosted-trees; "" is the
            ordinary training of the network.
    """

    detectors: tuple[Detector, ...] = field(default_factory=default_detectors)
    level: float = 0.05
    fdr: float = 0.2
    smallest: float = 0.01
    permutations: int = 1999
    fdr_bound: bool = False
    power: int = 2
    enough: float = 0.8
    thorough: bool = False
    network: str = ""
    training: TrainingConfig | None = None
    trainer: str = ""

    @property
    def asked(self) -> tuple[Detector, ...]:
        """All detectors that are asked."""
        chosen = with_subsets(self.detectors) if self.thorough else self.detectors
        return on_network(chosen, self.network)

    @property
    def rule(self) -> Rule:
        """How scores become a verdict and a list."""
        return Rule(self.level, self.fdr, self.smallest, self.permutations, self.fdr_bound)

    def train(
        self,
        data: Dataset,
        trusted: Dataset | None,
        domain: Domain,
        seed: int,
        runtime: Runtime,
        *,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> Trained:
        """Train one network on suspect and trusted examples together."""
        union = concatenate(data, trusted) if trusted is not None else data
        trainer = self.trained_by(len(union))
        model = trainer.form(domain.network(union, self.network, stream(seed, "scan", "init")))
        rng = stream(seed, "scan", "fit")
        run = TrainingRun(runtime, progress, checkpoint)
        return trainer.train(model, union, domain, rng, run)

    def trained_by(self, n: int) -> Trainer:
        """Say who trains on n examples."""
        if not self.trainer:
            return Standard(self.training or choose_training(n))
        trainer: Trainer = get(cast(Any, Trainer), self.trainer)
        return trainer

    def scan(
        self, data: Dataset, trusted: Dataset | None, domain: Domain, seed: int = 0,
        *, runtime: Runtime | None = None, model: nn.Module | None = None, saw: Saw = "suspect",
        progress: Progress | None = None, step: Announce | None = None,
        checkpoint: Path | None = None, seen: Look | None = None, subsets: Path | None = None,
    ) -> DataScan:  # fmt: skip
        """Scan suspect data, with trusted examples of the same classes or without.

        A given model is used instead of training one; `saw` says what it was trained on. Detectors
        that need recorded losses are left out then. `seen` is the answer of `looked`, where it is
        known already; `subsets` is the folder in which trainings on subsets are kept.

        Raises:
            MethodError: for fewer than two classes, or a detector that is named twice.
        """
        runtime, step = runtime or Runtime(), step or (lambda _: None)
        self._check(data)
        began = time.perf_counter()
        may_compare = model is None or saw != "suspect"
        known_to_one = not may_compare and trusted is not None and len(trusted) > 0
        seen = seen or self.looked(data, trusted, domain, may_compare, step)
        who, detectors = seen.who, seen.able
        losses: torch.Tensor | None = None
        if model is None:
            step("training a network on suspect and trusted examples")
            trained = self.train(
                who.union, None, domain, seed, runtime, progress=progress, checkpoint=checkpoint
            )
            model, losses = trained.model, trained.losses
        else:
            detectors = tuple(d for d in detectors if not isinstance(d, EarlyLoss))
        training = time.perf_counter() - began
        view = View(who.union, domain=domain, model=model, runtime=runtime, losses=losses)
        step("computing features")
        features = view.features
        extraction = time.perf_counter() - began - training
        thorough = Thorough(step, subsets)
        judgements = tuple(
            seen.said(d) or self._ask(d, view, who.sizes, step, thorough) for d in detectors
        )
        step("testing suspect against trusted examples")
        rng = stream(seed, "scan", "permute")
        decided = self.rule.decide(judgements, who.suspects, who.known, rng, who.strata)
        verdict = decided.verdict
        if why := who.differ_too_far or (SAW_SUSPECTS if known_to_one else ""):
            verdict = self.rule.unknown(why)
        cost = _cost(time.perf_counter() - began, training, extraction, judgements)
        scan = DataScan(
            verdict, self.fdr, judgements, decided.classes, decided.flagged, features, model,
            cost, naming=decided.naming, signs=seen.signs, differ=who.differ,
            strongest=thorough.features(view, who.seen.order if who.seen else None, len(data)),
        )  # fmt: skip
        return spread(scan, data, who.seen) if who.seen else scan

    def looked(
        self,
        data: Dataset,
        trusted: Dataset | None,
        domain: Domain,
        may_compare: bool = True,
        step: Announce | None = None,
    ) -> Look:
        """Settle who is compared, and ask those detectors that need no network.

        Args:
            may_compare: False where a given model was trained on the suspects alone.
        """
        step, began = step or (lambda _: None), now()
        who = Compared.of(data, trusted, domain if may_compare else None, step)
        settling = now() - began
        step("looking at simple features")
        return replace(look(data, who, domain, self.asked), settling=settling)

    def _ask(
        self, detector: Detector, view: View, sizes: tuple[int, int | None], step: Announce,
        thorough: Thorough,
    ) -> Judged:  # fmt: skip
        step(f"running {detector.name()}")
        if isinstance(detector, StrongestFeature):
            return judge_examples(detector, view, *sizes, fit=thorough.fitting(detector))
        return judge_examples(detector, view, *sizes)

    def _check(self, data: Dataset) -> None:
        if len(data.labels.unique()) < 2:
            raise MethodError("a scan needs examples of at least 2 classes, found 1")
        names = [d.name() for d in self.asked]
        if len(set(names)) < len(names):
            raise MethodError(f"a scan asks each detector once, found {', '.join(names)}")


def _cost(
    seconds: float, training: float, extraction: float, judgements: tuple[Judged, ...]
) -> dict[str, float]:
    """Name what a scan took in all, and its parts."""
    return {
        "seconds": seconds,
        "training_seconds": training,
        "features_seconds": extraction,
        **{f"{j.detector.name()}_seconds": j.seconds for j in judgements},
    }
