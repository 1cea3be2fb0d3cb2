"""Choosing the settings of a repair: on poison of the defender's own, or on the truth by that name.

Axes: b settings that are tried.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch

from mithridate.bench.admission import admit
from mithridate.bench.metrics.evaluate import accuracy
from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Split
from mithridate.bench.steps.network import Network
from mithridate.bench.steps.outcome import Trap
from mithridate.bench.steps.repaired import build_view
from mithridate.bench.steps.tune import Plant, candidates, plant_examples
from mithridate.core.data import Dataset
from mithridate.core.method import Repair
from mithridate.core.streams import stream
from mithridate.core.threat import ThreatModel


@dataclass(frozen=True, eq=False)
class ChosenRepair(Step):
    """What a choice of settings depends on; budget: settings tried, the own ones among them.

    A setting is judged by accuracy minus attack success rate, of the network that it repairs.
    """

    train: Network
    repair: Repair
    budget: int
    seed: int
    threat: ThreatModel = field(default_factory=ThreatModel)

    heavy = True
    shows = ("repair",)

    def value(self, output: Output, given: Given) -> Repair:
        """Give the repair with the best settings."""
        return replace(self.repair, **output.facts["tried"][0]["settings"])  # type: ignore


@dataclass(frozen=True, eq=False)
class TuneRepair(ChosenRepair):
    """Choose settings on a network in which the defender planted a backdoor of his own.

    Half of the trusted examples that were not planted are lent to the repair. The others, which it
    never sees, are called right or not, and, with the defender's trigger, planted or not.
    """

    def run(self, given: Given) -> Output:
        """Keep every setting that was tried and what it scored, best first."""
        plant = cast(Plant, self.train.poison)
        split: Split = given(plant.data)
        used = plant_examples(plant, given)
        rest = split.trusted.subset(~torch.isin(split.trusted.ids, used.ids))
        half = len(rest) // 2
        asked = rest.subset(range(half, len(rest)))
        triggered_test = plant.attack.triggered_test(asked, stream(self.seed, "probe"))
        return Output(
            facts={
                "tried": try_candidates(
                    self, given, asked, triggered_test, rest.subset(range(half))
                )
            }
        )


@dataclass(frozen=True, eq=False)
class OracleRepair(ChosenRepair):
    """Choose settings by test data and the trap, as some benchmarks do: an upper bound."""

    triggered_test: Trap | None = None

    def run(self, given: Given) -> Output:
        """Keep every setting that was tried and what it scored, best first."""
        assert self.triggered_test is not None
        split: Split = given(self.train.data)
        return Output(
            facts={"tried": try_candidates(self, given, split.test, given(self.triggered_test))}
        )


def try_candidates(
    step: ChosenRepair,
    given: Given,
    clean: Dataset,
    triggered_test: Dataset,
    few: Dataset | None = None,
) -> list[dict[str, Any]]:
    """Repair with every candidate and rank the settings; the first tried wins a tie.

    Args:
        few: the trusted examples that the repair is lent, by default all.
    """
    admit(step.repair)
    split: Split = given(step.train.data)
    trials = []
    for settings in candidates(cast(Any, step.repair), step.budget, step.seed):
        chosen = replace(step.repair, **settings)  # type: ignore[type-var]
        view = build_view(step.train, given, step.threat, few)
        model = chosen.mend(view, stream(step.seed, "repair"))
        rates = [
            accuracy(model, d, split.domain, given.runtime).value for d in (clean, triggered_test)
        ]
        trials.append({"settings": settings, "accuracy": rates[0], "asr": rates[1]})
    return sorted(trials, key=lambda t: t["accuracy"] - t["asr"], reverse=True)
