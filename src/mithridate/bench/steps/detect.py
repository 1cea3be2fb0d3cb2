"""A detector's answer about the suspects, and which of them it would drop.

Axes: N = n + m suspect and trusted examples.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch

from mithridate.bench.admission import admit
from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.evidence import Evidence, view_of
from mithridate.bench.steps.examples import Split
from mithridate.core.errors import EvidenceWithheld
from mithridate.core.method import Detector
from mithridate.core.streams import stream
from mithridate.core.threat import ThreatModel
from mithridate.pipelines.finding import Rule, judge_examples


@dataclass(frozen=True, eq=False)
class Detect(Step):
    """Score all examples by one detector and decide by the rule that holds for all detectors.

    Attributes:
        detector: or the step that chose one.
        gate: the step that lets defences pass, None where there is no attack that could have
            failed.
    """

    evidence: Evidence
    detector: Detector | Step
    rule: Rule
    seed: int
    gate: Step | None = None
    threat: ThreatModel = field(default_factory=ThreatModel)

    shows = ()

    def run(self, given: Given) -> Output:
        """Keep scores float64[N], p-values float64[n] and who is flagged, bool[n]."""
        detector = given(self.detector) if isinstance(self.detector, Step) else self.detector
        admit(detector)
        split: Split = given(self.evidence.train.data)
        if len(split.trusted) and "clean" not in self.threat.granted:
            raise EvidenceWithheld(
                "the rule calibrates on trusted examples and the threat model withholds 'clean'; "
                "grant it, or ask for trusted=(0,)"
            )
        view = view_of(self.evidence, given, self.threat)
        suspects, trusted = given(self.evidence.train.poison), split.trusted
        judgement = judge_examples(detector, view, len(suspects))
        rng = stream(self.seed, "permute")
        verdict, _, flagged, _ = self.rule.decide((judgement,), suspects, trusted, rng)
        tensors = {
            "scores": torch.cat([judgement.scores.values, judgement.trusted]),
            "flagged": flagged,
        }
        if judgement.scores.p_values is not None:
            tensors["p_values"] = judgement.scores.p_values
        used = {*judgement.used, *(["clean"] if len(trusted) else [])}
        facts = {
            "verdict": asdict(verdict),
            "evidence": sorted(used),
            "detector": detector.config(),
            "clean_samples": len(trusted) if "clean" in used else 0,
        }
        return Output(tensors, facts)
