"""Controls among the filters: one that knows nothing, and one that knows everything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.suspects import Suspects, truth_about
from mithridate.core.streams import stream


@dataclass(frozen=True, eq=False)
class Filter(Step):
    """Flag suspects by chance, or by the truth; no detector is asked.

    Attributes:
        share: of the suspects that the random filter flags.
    """

    poison: Suspects
    by: Literal["chance", "truth"]
    share: float
    seed: int
    gate: Step | None = None

    shows = ()

    def run(self, given: Given) -> Output:
        """Keep who is flagged, bool[n]."""
        poisoned = truth_about(self.poison, given).poisoned
        if self.by == "truth":
            return Output({"flagged": poisoned})
        drawn = torch.from_numpy(stream(self.seed, "random filter").random(len(poisoned)))
        return Output({"flagged": drawn < self.share})
