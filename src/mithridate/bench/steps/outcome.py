"""How a network answers test data, clean and under the trigger.

Axes: t test examples, k of them that the attack aims at, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.bench.metrics.evaluate import answers, find_recovered, score_answers
from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Examples, Split, copy_for_defence
from mithridate.bench.steps.learn import state_of
from mithridate.core.data import Dataset
from mithridate.core.method import Attack, Trained
from mithridate.core.streams import stream
from mithridate.pipelines.deployment import as_deployed


@dataclass(frozen=True, eq=False)
class Trap(Step):
    """Stamp the test data; made again where it is needed."""

    data: Examples
    attack: Attack
    seed: int
    learnt: Step | None = None

    stored = False

    def run(self, given: Given) -> Output:
        """Nothing is kept."""
        return Output()

    def value(self, output: Output, given: Given) -> Dataset:
        """Give the triggered test data with the labels that the attacker wants."""
        split: Split = given(self.data)
        return self.attack.triggered_test(
            split.test, stream(self.seed, "trap"), state_of(self.learnt, given)
        )


@dataclass(frozen=True, eq=False)
class Outcome(Step):
    """Judge one network by test data."""

    model: Step
    data: Examples
    triggered_test: Trap
    precision: str = "bf16"

    shows = ()

    def run(self, given: Given) -> Output:
        """Keep who was right: right bool[t], hit and recovered bool[k], and the rows of the trap.

        Raises:
            MethodError: where nothing is known of the precision.
        """
        split: Split = given(self.data)
        trained: Trained = given(self.model)
        model, triggered_test = given.watched(trained.model), given(self.triggered_test)
        trusted = copy_for_defence(split.trusted) if len(split.trusted) else None
        place = as_deployed(model, self.precision, split.domain, trusted)
        clean = answers(place.model, split.test, split.domain, given.runtime, place.precision)
        under = answers(place.model, triggered_test, split.domain, given.runtime, place.precision)
        tensors = {
            "right": clean.predicted == split.test.labels,
            "hit": under.predicted == triggered_test.labels,
            "recovered": find_recovered(under.predicted, triggered_test, split.test),
            "trap_ids": triggered_test.ids,
            "test_ids": split.test.ids,
        }
        return Output(tensors, score_answers(clean, under, split.test, triggered_test))
