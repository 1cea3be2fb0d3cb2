"""A guard before a network as it is deployed: what it says of clean and of triggered inputs.

The network was trained on the trusted examples of the cell, so they look to it like no input that
arrives. A guard gets as many test inputs instead, which nobody trained on, and is judged on others.
Axes: m trusted inputs; t clean and k triggered test inputs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

import torch

from mithridate.bench.admission import admit
from mithridate.bench.metrics.evaluate import guarding
from mithridate.bench.step import Given, NotDone, Output, Step
from mithridate.bench.steps.examples import Split, copy_for_defence
from mithridate.bench.steps.network import Network
from mithridate.bench.steps.outcome import Trap
from mithridate.core.data import Dataset
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Detector, Trained
from mithridate.core.runtime import Runtime
from mithridate.core.scores import conformal_p_values
from mithridate.core.threat import ThreatModel
from mithridate.core.view import View
from mithridate.pipelines.deployment import Placed, as_deployed


@dataclass(frozen=True, eq=False)
class Guarding(Step):
    """Fit a guard on half of the trusted inputs, calibrate it on the others, let inputs arrive.

    Attributes:
        level: false-positive rate that is asked for.
        gate: lets pass what is about an attack that took.
    """

    train: Network
    triggered_test: Trap
    detector: Detector
    seed: int
    precision: str = "bf16"
    gate: Step | None = None
    threat: ThreatModel = field(default_factory=ThreatModel)
    level: float = 0.05

    heavy = True
    shows = ()

    def run(self, given: Given) -> Output:
        """Keep the scores of clean and of triggered inputs and what the referee makes of them.

        All clean inputs count, and triggered ones where the network obeys: the others do no harm.
        Trusted are at most half of the test inputs.

        Raises:
            NotDone: "skipped", where the guard cannot judge, and where no p-value could reach the
                level.
        """
        admit(self.detector)
        split: Split = given(self.train.data)
        trained: Trained = given(self.train)
        model = given.watched(copy.deepcopy(trained.model))
        watch = WatchingDetector(self.detector, self.threat, given.runtime)
        m = min(len(split.trusted), len(split.test) // 2)
        if 2 / (m + 2) > self.level:
            raise NotDone("skipped", f"cannot judge at {self.level:g} with {m} trusted inputs")
        order = torch.arange(len(split.test))
        lent_out, learn = copy_for_defence(split.test.subset(order < m)), torch.arange(m) % 2 == 0
        triggered_test: Dataset = given(self.triggered_test)
        arriving = split.test.subset(order >= m)
        try:
            place = as_deployed(
                model, self.precision, split.domain, copy_for_defence(split.trusted)
            )
            watch.stand(replace(place, trusted=lent_out.subset(learn)))
            watch.fit(lent_out.subset(learn))
            asked = watch.score(lent_out.subset(~learn))
            clean, under = watch.score(arriving), no_scores()
            if self.gate is not None:
                fresh = torch.isin(triggered_test.ids, arriving.ids)
                under = watch.score(triggered_test.subset(fresh), obeyed=True)
        except (CannotJudge, MethodError) as reason:
            raise NotDone("skipped", f"cannot judge: {reason}") from None
        p = conformal_p_values(torch.cat([clean, under]), asked)
        alarms = p <= self.level
        facts = {
            "evidence": sorted(watch.used),
            "clean_samples": m,
            "metrics": guarding(clean, under, alarms[: len(clean)], alarms[len(clean) :]),
        }
        return Output({"clean": clean, "triggered": under, "p_values": p}, facts)


class WatchingDetector:
    """A detector that looks at what arrives at a network, and the evidence that it used."""

    def __init__(self, detector: Detector, threat: ThreatModel, runtime: Runtime) -> None:
        self.detector, self.threat, self.runtime = detector, threat, runtime
        self.used: set[str] = set()

    def stand(self, place: Placed) -> None:
        """Take up a place before a network."""
        self.place = place

    def fit(self, trusted: Dataset) -> None:
        """Fit on trusted examples, labelled as the network calls them."""
        view = self._view(self.place.predicted(trusted, self.runtime))
        self.state = self.detector.fit(view)
        self.used |= view.used

    def score(self, data: Dataset, obeyed: bool = False) -> torch.Tensor:
        """Score inputs, float64[n]; on request only those that the network calls as labelled."""
        predicted = self.place.predicted(data, self.runtime)
        if obeyed:
            predicted = predicted.subset(predicted.labels == data.labels)
        if not len(predicted):
            return no_scores()
        view = self._view(predicted)
        scores = self.detector.score(self.state, view).double()
        self.used |= view.used
        return scores

    def _view(self, data: Dataset) -> View:
        return self.place.view(data, self.threat, self.runtime)


def no_scores() -> torch.Tensor:
    """No scores, float64[0]."""
    return torch.zeros(0, dtype=torch.float64)
