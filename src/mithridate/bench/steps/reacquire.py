"""How fast a backdoor comes back: a repair that only hides it leaves a network that soon obeys.

Axes: t test examples, k of them that the attack aims at.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from math import inf

from mithridate.bench.metrics.evaluate import answers
from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Examples, Split
from mithridate.bench.steps.learn import state_of
from mithridate.bench.steps.outcome import Trap
from mithridate.core.data import Dataset, concatenate
from mithridate.core.errors import MethodError
from mithridate.core.fit import TrainingConfig, fit
from mithridate.core.method import Trained
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun
from mithridate.stats.intervals import Interval

GENTLE = TrainingConfig(epochs=3, batch_size=64, learning_rate=0.01, warmup=0.0, augment=False)
"""A fine-tuning that teaches a clean network little of a trigger."""


@dataclass(frozen=True, eq=False)
class Reacquire(Step):
    """Fine-tune a network on a few triggered examples among clean ones, and spring the trap again.

    The examples of both kinds are drawn from the suspects before the attack, the same for every
    network of a seed. The same is done to the clean twin after the same defence, so that what a
    network remembers can be told from what any network learns, and a defence that makes learning
    slow does not look like one that forgets.

    Attributes:
        examples: how many are triggered.
        clean: how many are not.
        most: triggered test inputs that are asked after every epoch.

    Raises:
        MethodError: where there are too few suspects for so many examples.
    """

    model: Step
    data: Examples
    triggered_test: Trap
    seed: int
    examples: int
    clean: int = 500
    most: int = 500
    training: TrainingConfig = field(default_factory=lambda: GENTLE)

    heavy = True
    shows = ()

    def run(self, given: Given) -> Output:
        """Keep the attack success rate before the first and after every epoch."""
        split: Split = given(self.data)
        trained: Trained = given(self.model)
        whole: Dataset = given(self.triggered_test)
        few = stream(self.seed, "asked").permutation(len(whole))[: self.most]
        triggered_test = whole.subset(few)
        model = given.watched(copy.deepcopy(trained.model))
        rates: list[float] = []

        def look(_: int) -> bool:
            predicted = answers(model, triggered_test, split.domain, given.runtime).predicted
            rates.append(float((predicted == triggered_test.labels).double().mean()))
            return False

        look(0)
        rng = stream(self.seed, "reacquire")
        lesson = self.lesson(split, given)
        fit(
            model, lesson, split.domain, self.training, rng,
            TrainingRun(given.runtime), enough=look,
        )  # fmt: skip
        return Output(facts={"asr": rates})

    def lesson(self, split: Split, given: Given) -> Dataset:
        """Triggered examples with the wanted labels, and clean ones."""
        rng = stream(self.seed, "lesson")
        rows = split.suspects.subset(rng.permutation(len(split.suspects)))
        attack, state = self.triggered_test.attack, state_of(self.triggered_test.learnt, given)
        many = min(len(rows) // 2, 20 * self.examples)  # a goal may aim at one class of many
        triggered = attack.triggered_test(rows.subset(range(many)), rng, state)
        spare = min(len(rows) - many, self.clean)
        if len(triggered) < self.examples or spare < self.examples:
            raise MethodError(
                f"a lesson of {self.examples} triggered examples needs as many that the attack "
                f"aims at, found {len(triggered)}, and as many others, found {spare}; "
                "give more suspects or ask for a shorter lesson"
            )
        few = triggered.subset(range(self.examples))
        return concatenate(few, rows.subset(range(many, many + spare)))


def measure_return(mine: Output, twin: Output) -> dict[str, Interval]:
    """Give the ASR after the fine-tuning, the twin's, and by how much the one obeys sooner.

    reacquired_asr: after all epochs; reacquired_excess: mean over the epochs of the ASR of the
    network minus that of its clean twin under the same defence: 0 where the network learns the
    trigger as if it had never known it.
    """
    rates, others = mine.facts["asr"], twin.facts["asr"]
    pairs = list(zip(rates[1:], others[1:], strict=True))
    excess = sum(a - b for a, b in pairs) / len(pairs)
    single = {"reacquired_asr": rates[-1], "reacquired_twin_asr": others[-1],
              "reacquired_excess": excess}  # fmt: skip
    return {name: Interval(value, -inf, inf, 1) for name, value in single.items()}
