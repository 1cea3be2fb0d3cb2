"""Choosing the settings of a detector: on what the defender has, or on the truth under that name.

The defender copies some trusted examples, stamps the copies with a trigger of its own, hides them
among the suspects, trains, and takes the settings that find its own poison best.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch

from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.evidence import Evidence, view_of
from mithridate.bench.steps.examples import Examples, Split
from mithridate.bench.steps.suspects import Suspects, truth_about
from mithridate.core.data import Dataset, concatenate
from mithridate.core.errors import MethodError
from mithridate.core.method import Attack, Detector
from mithridate.core.streams import stream
from mithridate.core.threat import ThreatModel
from mithridate.stats.ranking import auroc


@dataclass(frozen=True, eq=False)
class Plant(Step):
    """Hide poisoned copies of trusted examples among the suspects; the defender knows which.

    Attributes:
        attack: the defender's own.
        share: of the trusted examples that are copied.
    """

    poison: Suspects
    data: Examples
    attack: Attack
    share: float
    seed: int

    stored = False

    def run(self, given: Given) -> Output:
        """Nothing is kept."""
        return Output()

    def value(self, output: Output, given: Given) -> Dataset:
        """Give the suspects with the planted examples behind them."""
        return concatenate(given(self.poison), plant_examples(self, given))


def plant_examples(plant: Plant, given: Given) -> Dataset:
    """The planted examples: copies of trusted ones with the defender's trigger and label.

    Raises:
        MethodError: where there are too few trusted examples.
    """
    split: Split = given(plant.data)
    few = max(10, round(plant.share * len(split.trusted)))
    rng = stream(plant.seed, "plant")
    rows = split.trusted.subset(rng.permutation(len(split.trusted)))
    triggered_test = plant.attack.triggered_test(rows, rng)
    if len(triggered_test) < few:
        raise MethodError(
            f"planting {few} examples needs as many trusted ones that the planted attack can aim "
            f"at, found {len(triggered_test)}; give more trusted examples"
        )
    return triggered_test.subset(range(few))


@dataclass(frozen=True, eq=False)
class ChosenSettings(Step):
    """What a choice of settings depends on; budget: settings tried, the own ones among them."""

    evidence: Evidence
    detector: Detector
    budget: int
    seed: int
    threat: ThreatModel = field(default_factory=ThreatModel)

    shows = ("detector",)

    def value(self, output: Output, given: Given) -> Detector:
        """Give the detector with the best settings."""
        return replace(self.detector, **output.facts["tried"][0]["settings"])  # type: ignore


@dataclass(frozen=True, eq=False)
class Tune(ChosenSettings):
    """Choose settings by the planted examples.

    Each setting is scored by the AUROC of planted against trusted examples of the same label;
    suspects do not count, since some of them may be poisoned.
    """

    def run(self, given: Given) -> Output:
        """Keep every setting that was tried and what it scored, best first."""
        plant = cast(Plant, self.evidence.train.poison)
        suspects = len(given(plant.poison))
        split: Split = given(plant.data)
        known = len(plant_examples(plant, given))
        labels = view_of(self.evidence, given, self.threat).labels[suspects:]
        mine = torch.arange(len(labels)) < known
        both = torch.isin(labels, labels[mine].unique())

        def quality(scores: torch.Tensor) -> float:
            return auroc(scores[suspects:][both], mine[both])

        ranked = _rank(self, given, quality)
        return Output(facts={"tried": ranked, "clean_samples": len(split.trusted)})


@dataclass(frozen=True, eq=False)
class OracleTune(ChosenSettings):
    """Choose settings by the truth, which no defender has: an upper bound, and named so."""

    def run(self, given: Given) -> Output:
        """Keep every setting that was tried and what it scored, best first."""
        poison = cast(Suspects, self.evidence.train.poison)
        truth, labels = truth_about(poison, given), given(poison).labels
        held = torch.isin(labels, labels[truth.poisoned].unique())

        def quality(scores: torch.Tensor) -> float:
            return auroc(scores[: len(labels)][held], truth.poisoned[held])

        ranked = _rank(self, given, quality)
        return Output(facts={"tried": ranked})


def candidates(detector: Detector, budget: int, seed: int) -> list[dict[str, Any]]:
    """The settings that are tried: the detector's own, and others of its space, drawn at random."""
    names = list(detector.space)
    own = {name: getattr(detector, name) for name in names}
    every = [dict(zip(names, v, strict=True)) for v in itertools.product(*detector.space.values())]
    others = [settings for settings in every if settings != own]
    order = stream(seed, "tune", detector.name()).permutation(len(others))
    return [own, *(others[i] for i in order[: max(budget, 1) - 1])]


def _rank(
    step: ChosenSettings, given: Given, score: Callable[[torch.Tensor], float]
) -> list[dict[str, Any]]:
    """Try the candidates; not a number (nothing to find) ranks last, ties go to the first tried."""
    tried = []
    for settings in candidates(step.detector, step.budget, step.seed):
        chosen = replace(step.detector, **settings)  # type: ignore[type-var]
        scores = chosen.judge(view_of(step.evidence, given, step.threat)).values
        value = score(scores)
        tried.append({"settings": settings, "auroc": None if value != value else value})
    return sorted(tried, key=lambda t: -1.0 if t["auroc"] is None else t["auroc"], reverse=True)
