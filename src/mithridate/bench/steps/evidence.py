"""What a defender may know of the trained network, computed once for all defences."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Split, copy_for_defence, join_trusted
from mithridate.bench.steps.network import Network
from mithridate.core.inference import forward
from mithridate.core.method import Trained
from mithridate.core.threat import ThreatModel
from mithridate.core.view import View


@dataclass(frozen=True, eq=False)
class Evidence(Step):
    """Run the network over everything that it was trained on."""

    train: Network

    shows = ("train",)

    def run(self, given: Given) -> Output:
        """Keep features and logits of suspects and trusted examples, in this order."""
        split: Split = given(self.train.data)
        union = join_trusted(given(self.train.poison), split)
        model = given.watched(given(self.train).model)
        features, logits = forward(model, split.domain.prepare(union.inputs), given.runtime)
        return Output({"features": features, "logits": logits})


def view_of(evidence: Evidence, given: Given, threat: ThreatModel | None = None) -> View:
    """Show the defender what the threat model grants; the truth is not behind it."""
    split: Split = given(evidence.train.data)
    trained: Trained = given(evidence.train)
    tensors = given(evidence).tensors
    return View(
        copy_for_defence(join_trusted(given(evidence.train.poison), split)),
        domain=split.domain,
        model=given.watched(copy.deepcopy(trained.model)),
        clean=copy_for_defence(split.trusted) if len(split.trusted) else None,
        threat=threat,
        runtime=given.runtime,
        # copies, since the next defence gets the same evidence whatever this one does to it
        features=tensors["features"].clone(),
        logits=tensors["logits"].clone(),
        losses=trained.losses.clone() if trained.losses.shape[1] else None,
    )
