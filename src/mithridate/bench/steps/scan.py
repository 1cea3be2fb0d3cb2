"""What a scanner says of a network as it is deployed.

Axes: c classes.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

from mithridate.bench.admission import admit
from mithridate.bench.metrics.evaluate import suspicion
from mithridate.bench.step import Given, NotDone, Output, Step
from mithridate.bench.steps.examples import Split, copy_for_defence
from mithridate.bench.steps.network import Network
from mithridate.bench.steps.outcome import Trap
from mithridate.core.errors import CannotJudge, MethodError
from mithridate.core.method import Trained
from mithridate.core.scanner import Scanner
from mithridate.core.streams import stream
from mithridate.core.threat import ThreatModel
from mithridate.pipelines.deployment import as_deployed


@dataclass(frozen=True, eq=False)
class Scan(Step):
    """Scan one network, with what the threat model grants, in one precision.

    Attributes:
        triggered_test: tells the referee which class the attacker wants.
        gate: lets pass what is about an attack that took, None for a clean network.
    """

    train: Network
    triggered_test: Trap
    scanner: Scanner
    seed: int
    precision: str = "bf16"
    gate: Step | None = None
    threat: ThreatModel = field(default_factory=ThreatModel)

    heavy = True
    shows = ()

    def run(self, given: Given) -> Output:
        """Keep scores float64[c] and how the wanted class stands among them.

        Raises:
            NotDone: "skipped", where the scanner cannot judge such a network.
        """
        admit(self.scanner)
        split: Split = given(self.train.data)
        trained: Trained = given(self.train)
        model = given.watched(copy.deepcopy(trained.model))
        clean = copy_for_defence(split.trusted) if len(split.trusted) else None
        try:
            place = as_deployed(model, self.precision, split.domain, clean)
            view = place.view(None, self.threat, given.runtime)
            scanned = self.scanner.judge(view, stream(self.seed, "scan"))
        except (CannotJudge, MethodError) as reason:
            raise NotDone("skipped", f"cannot judge: {reason}") from None
        values = scanned.scores.values.double()
        facts = {
            "evidence": sorted(view.used),
            "clean_samples": len(split.trusted) if "clean" in view.used else 0,
            "metrics": suspicion(values, given(self.triggered_test).labels) if self.gate else {},
        }
        return Output({"scores": values}, facts)
