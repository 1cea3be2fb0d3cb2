"""Training again without the examples that a filter flagged."""

from __future__ import annotations

from dataclasses import dataclass

from mithridate.bench.step import Given, Output, Step
from mithridate.bench.steps.examples import Split, join_trusted
from mithridate.bench.steps.network import Changed, build_network, pack_trained
from mithridate.core.streams import stream
from mithridate.core.training_run import TrainingRun


@dataclass(frozen=True, eq=False)
class Retrain(Changed):
    """Drop what was flagged and train as before; where nothing was, the network stays the same."""

    filter: Step

    heavy = True

    def run(self, given: Given) -> Output:
        """Keep the weights, or the note that they are the same."""
        flagged = given(self.filter).tensors["flagged"]
        if not flagged.any():
            return Output(facts={"same": True, "dropped": 0})
        split: Split = given(self.train.data)
        seed, suspects = self.train.seed, given(self.train.poison)
        kept = join_trusted(suspects.subset(~flagged), split)
        model = self.train.trainer.form(build_network(kept, split, self.train.network, seed))
        rng = stream(seed, "fit")
        trained = self.train.trainer.train(
            given.watched(model), kept, split.domain, rng, TrainingRun(given.runtime)
        )
        made = pack_trained(trained)
        return Output(made.tensors, {**made.facts, "same": False, "dropped": int(flagged.sum())})
