"""The last step of a cell: the referee puts together what the others left, and says how it ended.

Axes: n suspects, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mithridate.bench.metrics.comparing import compare, worst_class
from mithridate.bench.metrics.finding import measure_filter
from mithridate.bench.record import Record
from mithridate.bench.step import Given, NotDone, Output, Step
from mithridate.bench.steps.detect import Detect
from mithridate.bench.steps.outcome import Outcome
from mithridate.bench.steps.poison import Poison
from mithridate.bench.steps.reacquire import measure_return
from mithridate.bench.steps.suspects import truth_about
from mithridate.stats.intervals import Interval


@dataclass(frozen=True, eq=False)
class Judge(Step):
    """Write the record of one cell.

    Attributes:
        cell: the axes, as pairs; settings: in full, as pairs.
        undefended: the network before and after the defence, the same for "no defence".
        defended: the network before and after the defence, the same for "no defence".
        finder: what flagged examples, or None.
        gate: lets pass what is about an attack that took.
        stealth: how visible the attack is, or None.
        again: how fast the backdoor returns to the network and how fast its clean twin learns it.
        asked: what a scanner said of the network or a guard of its inputs, or None.
    """

    cell: tuple[tuple[str, Any], ...]
    described: tuple[tuple[str, Any], ...]
    poison: Poison
    undefended: Outcome
    defended: Outcome
    finder: Step | None = None
    gate: Step | None = None
    stealth: Step | None = None
    again: tuple[Step, ...] | None = None
    asked: Step | None = None

    answers_always = True

    def run(self, given: Given) -> Output:
        """Write down what was measured, or why nothing was."""
        status, why, measured = "done", "", {}
        try:
            if (
                self.defended == self.undefended and self.asked is None
            ):  # its figures stand, void or not
                measured = self._measure(given)
            if self.gate is not None:
                given(self.gate)
            measured = measured or self._measure(given)
        except NotDone as stopped:
            if stopped.passing:
                raise  # no answer: it is asked for again
            status, why = stopped.status, stopped.why
            measured = measured or self._before(given)
        record = Record(
            key=self.key, cell=dict(self.cell), settings=dict(self.described),
            status=status, why=why, **measured,
        )  # fmt: skip
        return Output(facts=record.plain())

    def _measure(self, given: Given) -> dict[str, Any]:
        after = given(self.defended)
        facts = after.facts
        metrics = {name: Interval(*m) for name, m in facts["metrics"].items()}
        measured: dict[str, Any] = {"per_class": facts["per_class"], "curves": {}}
        if self.defended != self.undefended:
            measured["outcome"] = compare(
                given(self.undefended), after, metrics, self.poison.attack is not None
            )
            metrics["worst_class_reduction"] = worst_class(given(self.undefended), after)
        if self.finder is not None:
            measured |= self._found(given, metrics, measured["curves"])
        if self.stealth is not None:
            metrics |= {n: Interval(*m) for n, m in given(self.stealth).facts["metrics"].items()}
        if self.again is not None:
            self._returned(given, metrics, measured["curves"])
        if self.asked is not None:
            self._said(given, metrics, measured)
        given_model = given.output(self.defended.model).facts
        measured.setdefault("evidence", tuple(given_model.get("evidence", ())))
        if "loss" in given_model:
            measured["curves"]["loss"] = given_model["loss"]
        measured["cost"] = self._cost(given)
        return {**measured, "metrics": metrics, "origin": given.origin}

    def _found(
        self, given: Given, metrics: dict[str, Interval], curves: dict[str, list[Any]]
    ) -> dict[str, Any]:
        """What the filter found, by the truth."""
        assert self.finder is not None
        output = given.output(self.finder)
        truth = truth_about(self.poison, given)
        measured, roc = measure_filter(output.tensors, truth, given(self.poison).labels)
        metrics |= measured
        curves |= roc
        if not isinstance(self.finder, Detect):
            return {}
        return {
            "verdict": output.facts["verdict"],
            "evidence": tuple(output.facts["evidence"]),
        }

    def _returned(
        self, given: Given, metrics: dict[str, Interval], curves: dict[str, list[Any]]
    ) -> None:
        """How fast the backdoor came back, beside a twin that never had one."""
        assert self.again is not None
        mine, twin = (given.output(step) for step in self.again)
        metrics |= measure_return(mine, twin)
        curves |= {"reacquired": mine.facts["asr"], "twin": twin.facts["asr"]}

    def _said(self, given: Given, metrics: dict[str, Interval], measured: dict[str, Any]) -> None:
        """What a scanner or a guard answered."""
        assert self.asked is not None
        output = given.output(self.asked)
        metrics |= {name: Interval(*m) for name, m in output.facts["metrics"].items()}
        measured["evidence"] = tuple(output.facts["evidence"])
        if "scores" in output.tensors:
            values = [float(value) for value in output.tensors["scores"]]
            measured["per_class"] = {**measured["per_class"], "suspicion": values}

    def _before(self, given: Given) -> dict[str, Any]:
        """Of a cell that did not end, what is known of the undefended network."""
        try:
            metrics = given(self.undefended).facts["metrics"]
        except NotDone:
            return {}
        return {"metrics": {f"undefended_{n}": Interval(*m) for n, m in metrics.items()}}

    def _cost(self, given: Given) -> dict[str, float]:
        """Seconds, passes and memory of the defence's own steps, and the seconds of the rest."""
        shared = _ancestors(self.undefended)
        extra = self.finder or self.asked
        own = _ancestors(self.defended) | ({extra} if extra else set())
        total: dict[str, float] = {"shared_seconds": 0.0, "peak_mb": 0.0}
        for step in own | shared:
            cost = given.cost(step)
            total["peak_mb"] = max(total["peak_mb"], cost.get("peak_mb", 0.0))
            if step in shared:
                total["shared_seconds"] += cost.get("seconds", 0.0)
                continue
            for name in ("seconds", "cpu_seconds", "forward", "backward"):
                total[name] = total.get(name, 0.0) + cost.get(name, 0.0)
        if extra is not None or self.defended != self.undefended:
            facts = given.output(extra or self.defended.model).facts
            total["clean_samples"] = float(facts.get("clean_samples", 0))
        return total


def _ancestors(step: Step) -> set[Step]:
    """A step and all that it depends on, of those that are stored."""
    steps, queue = set(), [step]
    while queue:
        here = queue.pop()
        if here not in steps:
            steps.add(here)
            queue += here.parents
    return {s for s in steps if s.stored}
