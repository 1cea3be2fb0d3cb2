"""How visible an attack is: in inputs, in features and in weights.

Axes: n examples, d features.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import cast

import torch

from mithridate.bench.metrics.stealth import feature_shift, spectral_shift, weight_distance
from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.evidence import Evidence
from mithridate.bench.steps.examples import Split
from mithridate.bench.steps.network import Network
from mithridate.bench.steps.outcome import Trap
from mithridate.bench.steps.suspects import Suspects, truth_about
from mithridate.core.data import Dataset
from mithridate.core.inference import forward
from mithridate.core.method import Trained
from mithridate.stats.intervals import Interval, mean


@dataclass(frozen=True, eq=False)
class Stealth(Step):
    """Measure an attack against the clean twin of its network.

    Attributes:
        most: triggered test examples that are looked at.
    """

    evidence: Evidence
    twin: Network
    triggered_test: Trap
    most: int = 1000

    shows = ()

    def run(self, given: Given) -> Output:
        """Keep the measures, each named `stealth.NAME`; see `bench/stealth.py`."""
        split: Split = given(self.evidence.train.data)
        triggered_test: Dataset = given(self.triggered_test)
        triggered_test = triggered_test.subset(range(min(self.most, len(triggered_test))))
        before = split.test.subset(torch.isin(split.test.ids, triggered_test.ids))
        twin: Trained = given(self.twin)
        mine: Trained = given(self.evidence.train)
        wanted = split.test.subset(torch.isin(split.test.labels, triggered_test.labels.unique()))

        def features(data: Dataset) -> torch.Tensor:
            model = given.watched(twin.model)
            return forward(model, split.domain.prepare(data.inputs), given.runtime)[0]

        measured: dict[str, Interval] = {}
        for name, values in split.domain.difference(before.inputs, triggered_test.inputs).items():
            measured[f"stealth.{name}"] = mean(values.numpy())
        single = feature_shift(features(before), features(triggered_test), features(wanted))
        weights = weight_distance(twin.model, mine.model)
        single |= {f"weights_{name}": value for name, value in weights.items()}
        single["spectral"] = self._spectral(given)
        measured |= {f"stealth.{n}": Interval(v, -inf, inf, 1) for n, v in single.items()}
        return Output(facts={"metrics": measured})

    def _spectral(self, given: Given) -> float:
        """How far the poisoned examples stand apart in the poisoned network."""
        poison = cast(Suspects, self.evidence.train.poison)
        labels, truth = given(poison).labels, truth_about(poison, given)
        features = given(self.evidence).tensors["features"][: len(labels)]
        return spectral_shift(features, truth.poisoned, labels)
