"""Whether an attack took: if it did not, it says nothing about any defence."""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.bench.step import Given, NotDone, Output, Step
from mithridate.bench.steps.outcome import Outcome


@dataclass(frozen=True, eq=False)
class Gate(Step):
    """Let defences pass where the undefended network obeys the trigger.

    Attributes:
        least: attack success rate below which the attack did not take.
    """

    undefended: Outcome
    least: float

    shows = ()

    def run(self, given: Given) -> Output:
        """Raises NotDone, "void", where the attack did not take."""
        asr = given(self.undefended).facts["metrics"]["asr"][0]
        if asr < self.least:
            raise NotDone(
                "void",
                f"the attack did not take: its success rate on the undefended network is "
                f"{asr:.1%}, and {self.least:.0%} is asked for",
            )
        return Output(facts={"asr": asr})
