"""A repaired copy of the trained network."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from mithridate.bench.admission import admit
from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Split, copy_for_defence, join_trusted
from mithridate.bench.steps.network import Changed, Network
from mithridate.core.data import Dataset
from mithridate.core.method import Repair, Trained
from mithridate.core.streams import stream
from mithridate.core.threat import ThreatModel
from mithridate.core.view import View


@dataclass(frozen=True, eq=False)
class Repaired(Changed):
    """Repair the network with what the threat model grants.

    Attributes:
        repair: the repair, or the step that chooses its settings.
    """

    repair: Repair | Step
    seed: int
    gate: Step | None = None
    threat: ThreatModel = field(default_factory=ThreatModel)

    heavy = True

    def run(self, given: Given) -> Output:
        """Keep the weights of the repaired copy."""
        repair: Repair = given(self.repair) if isinstance(self.repair, Step) else self.repair
        admit(repair)
        view = build_view(self.train, given, self.threat)
        model = repair.mend(view, stream(self.seed, "repair"))
        split: Split = given(self.train.data)
        tuned = isinstance(self.repair, Step)  # whatever chose the settings used trusted examples
        clean = len(split.trusted) if tuned or "clean" in view.used else 0
        facts = {"evidence": sorted(view.used), "clean_samples": clean}
        return Output({f"model.{k}": v for k, v in model.state_dict().items()}, facts)


def build_view(
    train: Network, given: Given, threat: ThreatModel, trusted: Dataset | None = None
) -> View:
    """Show a defender a network of its own to change, and what the threat model grants.

    Args:
        trusted: the trusted examples that are lent, by default all.
    """
    split: Split = given(train.data)
    few = split.trusted if trusted is None else trusted
    trained: Trained = given(train)
    return View(
        copy_for_defence(join_trusted(given(train.poison), split)),
        domain=split.domain,
        model=given.watched(copy.deepcopy(trained.model)),
        clean=copy_for_defence(few) if len(few) else None,
        threat=threat,
        runtime=given.runtime,
        losses=trained.losses.clone() if trained.losses.shape[1] else None,
    )
