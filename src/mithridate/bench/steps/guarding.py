"""A guard before a network as it is deployed: what it says of clean and of triggered inputs.

Axes: m trusted examples; t clean and k triggered test inputs.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import torch

from mithridate.bench.admission import admit
from mithridate.bench.evaluate import guarding
from mithridate.bench.step import Given, NotDone, Output, Step
from mithridate.bench.steps.data import Split, lent
from mithridate.bench.steps.implant import Implant
from mithridate.bench.steps.outcome import Trap
from mithridate.bench.steps.train import Train
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
    """Fit a guard on half of the trusted examples, calibrate it on the others, let inputs arrive.

    level: false-positive rate that is asked for; gate: lets pass what is about an attack that took.
    """

    train: Train | Implant
    trap: Trap
    detector: Detector
    seed: int
    precision: str = "bf16"
    gate: Step | None = None
    threat: ThreatModel = field(default_factory=ThreatModel)
    level: float = 0.05

    heavy = True

    def run(self, given: Given) -> Output:
        """Keep the scores of clean and of triggered inputs and what the referee makes of them.

        Clean inputs count where the network calls them right, triggered ones where it obeys: the
        others are no question for a guard. Raises NotDone, "skipped", where it cannot judge.
        """
        admit(self.detector)
        split: Split = given(self.train.data)
        trained: Trained = given(self.train)
        model = given.watched(copy.deepcopy(trained.model))
        watch = Watch(self.detector, self.threat, given.runtime)
        try:
            watch.stand(as_deployed(model, self.precision, split.domain, lent(split.trusted)))
            apart = torch.arange(len(split.trusted)) % 2 == 0
            watch.fit(lent(split.trusted).subset(apart))
            asked = watch.score(lent(split.trusted).subset(~apart))
            clean = watch.score(split.test, called_as_labelled=True)
            under = (
                watch.score(given(self.trap), called_as_labelled=True) if self.gate else clean[:0]
            )
        except (CannotJudge, MethodError) as reason:
            raise NotDone("skipped", f"cannot judge: {reason}") from None
        p = conformal_p_values(torch.cat([clean, under]), asked)
        alarms = p <= self.level
        facts = {
            "evidence": sorted(watch.used),
            "clean_samples": len(split.trusted),
            "metrics": guarding(clean, under, alarms[: len(clean)], alarms[len(clean) :]),
        }
        return Output({"clean": clean, "triggered": under, "p_values": p}, facts)


class Watch:
    """A detector that looks at what arrives at a network, and the evidence that it used."""

    def __init__(self, detector: Detector, threat: ThreatModel, runtime: Runtime) -> None:
        self.detector, self.threat, self.runtime = detector, threat, runtime
        self.used: set[str] = set()

    def stand(self, place: Placed) -> None:
        """Take up a place before a network."""
        self.place = place

    def fit(self, trusted: Dataset) -> None:
        """Fit on trusted examples, labelled as the network calls them."""
        view = self._view(self.place.called(trusted, self.runtime))
        self.state = self.detector.fit(view)
        self.used |= view.used

    def score(self, data: Dataset, called_as_labelled: bool = False) -> torch.Tensor:
        """Score inputs, float64[n]; on request only those that the network calls as labelled."""
        called = self.place.called(data, self.runtime)
        if called_as_labelled:
            called = called.subset(called.labels == data.labels)
        if not len(called):
            return torch.zeros(0, dtype=torch.float64)
        view = self._view(called)
        found = self.detector.score(self.state, view).double()
        self.used |= view.used
        return found

    def _view(self, data: Dataset) -> View:
        return self.place.view(data, self.threat, self.runtime)
