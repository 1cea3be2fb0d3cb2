"""From suspect data to a verdict with a stated error rate.

The suspect and the trusted examples train one network together and are scored together, in an order
that does not depend on who is trusted. Where the suspect data are clean, both are exchangeable
within each class, so every p-value below is exact, whatever the detectors do and however much the
network memorises.
Axes: n suspect and m trusted examples, N = n + m, D detectors, C classes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.method import Detector, Trained
from mithridate.core.runtime import Runtime
from mithridate.core.scores import Scores, Verdict, conformal_p_values
from mithridate.core.streams import stream
from mithridate.core.view import View
from mithridate.detectors.activation_clustering import ActivationClustering
from mithridate.detectors.early_loss import EarlyLoss
from mithridate.detectors.nearest_neighbours import NearestNeighbours
from mithridate.detectors.spectral_signatures import SpectralSignatures
from mithridate.detectors.spectre import Spectre
from mithridate.stats.enrichment import Enrichment, benjamini_hochberg, enrichment
from mithridate.trainers.fit import Progress, Recipe
from mithridate.trainers.standard import Standard

Saw = Literal["neither", "suspect", "both"]
"""Which examples a given model was trained on; only "suspect" breaks exchangeability."""

Step = Callable[[str], None]
"""Is told what begins, in plain words."""


def default_detectors() -> tuple[Detector, ...]:
    """The detectors of an ordinary scan, each with its paper's defaults."""
    return (
        SpectralSignatures(),
        ActivationClustering(),
        Spectre(),
        EarlyLoss(),
        NearestNeighbours(),
    )


def recipe_for(n: int) -> Recipe:
    """Choose a training for n examples: at least 8 epochs and about 800 steps."""
    batch = 256 if n >= 20_000 else 128 if n >= 4_000 else 64
    steps_per_epoch = max(1, n // batch)
    return Recipe(epochs=max(8, min(60, round(800 / steps_per_epoch))), batch_size=batch)


@dataclass(frozen=True, eq=False)
class Judged:
    """One detector's answer about the suspect data.

    scores: of the n suspects, p-values against the trusted examples of the same class, None
    without any; trusted: float64[m], the scores of the trusted examples; used: evidence; seconds.
    """

    detector: Detector
    scores: Scores
    trusted: torch.Tensor
    used: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class ClassFinding:
    """What the scan found in one class.

    p_values: by detector name, adjusted for all classes and detectors; visible: the smallest number
    of perfectly ranked poisons that would have been seen, None if none would; by: the detector
    whose list was taken; flagged: number of examples named.
    """

    name: str
    suspects: int
    trusted: int
    p_values: dict[str, float]
    visible: int | None
    by: str | None
    flagged: int


@dataclass(frozen=True, eq=False)
class DataScan:
    """The answer of a scan: a verdict on the data set and a list of examples.

    flagged: bool[n], at most `fdr` of them expected to be clean, where a class was found to hold
    poison; model and losses: what was trained; features: float32[N, d], suspects first.
    """

    verdict: Verdict
    fdr: float
    judged: tuple[Judged, ...]
    classes: tuple[ClassFinding, ...]
    flagged: torch.Tensor
    features: torch.Tensor
    model: nn.Module
    cost: dict[str, float]


@dataclass(frozen=True)
class Scanner:
    """How to scan a data set.

    level: probability of the verdict "flagged" on clean data; fdr: expected share of clean examples
    among those named; smallest: "clean" is said only if a backdoor of this share of the data set,
    in one class and perfectly ranked, would have been flagged; network: of the domain, "" is its
    default; recipe: None chooses by the number of examples.
    """

    detectors: tuple[Detector, ...] = field(default_factory=default_detectors)
    level: float = 0.05
    fdr: float = 0.2
    smallest: float = 0.01
    permutations: int = 1999
    network: str = ""
    recipe: Recipe | None = None

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
        model = domain.network(union, self.network, stream(seed, "scan", "init"))
        trainer = Standard(self.recipe or recipe_for(len(union)))
        rng = stream(seed, "scan", "fit")
        return trainer.train(
            model, union, domain, rng, runtime, progress=progress, checkpoint=checkpoint
        )

    def scan(
        self,
        data: Dataset,
        trusted: Dataset | None,
        domain: Domain,
        seed: int = 0,
        *,
        runtime: Runtime | None = None,
        model: nn.Module | None = None,
        saw: Saw = "suspect",
        progress: Progress | None = None,
        step: Step | None = None,
        checkpoint: Path | None = None,
    ) -> DataScan:
        """Scan suspect data, with trusted examples of the same classes or without.

        A given model is used instead of training one; `saw` says what it was trained on. Detectors
        that need recorded losses are left out then.
        Raises MethodError for fewer than two classes.
        """
        runtime, step = runtime or Runtime(), step or (lambda _: None)
        if len(data.labels.unique()) < 2:
            raise MethodError("a scan needs examples of at least 2 classes, found 1")
        began = time.perf_counter()
        known: dict[str, torch.Tensor] = {}
        detectors = self.detectors
        if model is None:
            step("training a network on suspect and trusted examples")
            trained = self.train(
                data, trusted, domain, seed, runtime, progress=progress, checkpoint=checkpoint
            )
            model, known, saw = trained.model, {"losses": trained.losses}, "both"
        else:
            detectors = tuple(d for d in detectors if not isinstance(d, EarlyLoss))
        training = time.perf_counter() - began
        union = concatenate(data, trusted) if trusted is not None else data
        view = View(union, domain=domain, model=model, runtime=runtime, **known)
        step("computing features")
        features = view.features
        extraction = time.perf_counter() - began - training
        judged = tuple(self._judge(d, view, data, trusted, step) for d in detectors)
        usable = trusted is not None and len(trusted) > 0 and saw != "suspect"
        step("testing suspect against trusted examples")
        found = self._decide(judged, data, trusted if usable else None, seed)
        verdict, classes, flagged = found
        if not usable and trusted is not None and len(trusted):
            verdict = self._unknown(
                "the given model was trained on the suspect examples and not on the trusted ones, "
                "so their scores cannot be compared; leave --model out, or say --model-saw both"
            )
        cost = {
            "seconds": time.perf_counter() - began,
            "training_seconds": training,
            "features_seconds": extraction,
            **{f"{j.detector.name()}_seconds": j.seconds for j in judged},
        }
        return DataScan(verdict, self.fdr, judged, classes, flagged, features, model, cost)

    def _judge(
        self, detector: Detector, view: View, data: Dataset, trusted: Dataset | None, step: Step
    ) -> Judged:
        step(f"running {detector.name()}")
        began, before = time.perf_counter(), set(view.used)
        view.used.clear()
        values = detector.judge(view).values
        used = tuple(sorted(view.used))
        view.used |= before
        n = len(data)
        p_values = None
        if trusted is not None and len(trusted):
            p_values = torch.ones(n, dtype=torch.float64)
            for label in range(len(data.classes)):
                rows, own = data.labels == label, trusted.labels == label
                p_values[rows] = conformal_p_values(values[:n][rows], values[n:][own])
        seconds = time.perf_counter() - began
        return Judged(detector, Scores(values[:n], "sample", p_values), values[n:], used, seconds)

    def _decide(
        self,
        judged: tuple[Judged, ...],
        data: Dataset,
        trusted: Dataset | None,
        seed: int,
    ) -> tuple[Verdict, tuple[ClassFinding, ...], torch.Tensor]:
        nothing = torch.zeros(len(data), dtype=torch.bool)
        if trusted is None or len(trusted) == 0:
            sizes = torch.bincount(data.labels, minlength=len(data.classes)).tolist()
            classes = tuple(
                ClassFinding(name, size, 0, {}, None, None, 0)
                for name, size in zip(data.classes, sizes, strict=True)
            )
            why = (
                "there are no trusted examples, and without them no error rate can be stated: "
                "any data set is the clean data of some world"
            )
            return self._unknown(why), classes, nothing
        labels = torch.cat([data.labels, trusted.labels]).numpy()
        is_trusted = np.arange(len(labels)) >= len(data)
        scores = np.stack([torch.cat([j.scores.values, j.trusted]).numpy() for j in judged])
        found = enrichment(
            scores, labels, is_trusted, len(data.classes), stream(seed, "scan", "permute"),
            level=self.level, permutations=self.permutations,
        )  # fmt: skip
        flagged = nothing
        classes = tuple(
            self._class(label, found, judged, data, trusted, flagged)
            for label in range(len(data.classes))
        )
        return self._verdict(found, classes, judged, data), classes, flagged

    def _class(
        self,
        label: int,
        found: Enrichment,
        judged: tuple[Judged, ...],
        data: Dataset,
        trusted: Dataset,
        flagged: torch.Tensor,
    ) -> ClassFinding:
        """Describe one class and note its named examples in `flagged`."""
        adjusted = found.adjusted[:, label]
        rows = (data.labels == label).nonzero().flatten()
        named, by = 0, None
        if adjusted.min() <= self.level:
            lists = []
            for number in np.flatnonzero(adjusted <= self.level):
                p_values = judged[number].scores.p_values
                assert p_values is not None
                lists.append((benjamini_hochberg(p_values[rows].numpy(), self.fdr), number))
            best, number = max(lists, key=lambda pair: (pair[0].sum(), -adjusted[pair[1]]))
            flagged[rows[torch.from_numpy(best)]] = True
            named, by = int(best.sum()), judged[number].detector.name()
        visible = found.visible[label]
        return ClassFinding(
            data.classes[label],
            len(rows),
            int((trusted.labels == label).sum()),
            {j.detector.name(): float(p) for j, p in zip(judged, adjusted, strict=True)},
            int(visible) if np.isfinite(visible) else None,
            by,
            named,
        )

    def _verdict(
        self,
        found: Enrichment,
        classes: tuple[ClassFinding, ...],
        judged: tuple[Judged, ...],
        data: Dataset,
    ) -> Verdict:
        evidence = tuple(sorted({name for j in judged for name in j.used}))
        if found.p_value <= self.level:
            return Verdict("flagged", self.level, found.p_value, found.finest_p, "", evidence)
        held = [c for c in classes if c.suspects]
        blind = [c.name for c in held if c.visible is None]
        worst = max((c.visible for c in held if c.visible is not None), default=0)
        asked = self.smallest * len(data)
        why = ""
        if blind:
            why = f"no trusted example of {len(blind)} classes, e.g. {blind[0]!r}"
        elif worst > asked:
            why = (
                f"nothing was found, but with this many trusted examples a backdoor of fewer than "
                f"{worst} examples in a class ({worst / len(data):.1%} of the data) could not have "
                f"been seen, and {self.smallest:.1%} was asked for"
            )
        answer: Literal["clean", "cannot judge"] = "cannot judge" if why else "clean"
        return Verdict(answer, self.level, found.p_value, found.finest_p, why, evidence)

    def _unknown(self, why: str) -> Verdict:
        return Verdict("cannot judge", self.level, None, None, why)
