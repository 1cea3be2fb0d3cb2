"""Running one step in this process: inputs from the store, output into it."""

from __future__ import annotations

import traceback
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from mithridate.bench.known import Questions, adopt
from mithridate.bench.meter import Meter
from mithridate.bench.origin import origin
from mithridate.bench.remembering import forget
from mithridate.bench.step import NotDone, Output, Step
from mithridate.bench.store import Store
from mithridate.core.errors import ContractError, DataError, MissingExtra, MithridateError
from mithridate.core.runtime import Runtime

KEPT = 12
"""Values that stay in memory, since the next steps most likely ask for the same data again."""

CHANGED = "the code or the data changed while the sweep ran; start it again"


class Workbench:
    """Hands steps the values of earlier ones, and remembers the last few; see `Given`."""

    def __init__(self, store: Store, runtime: Runtime | None = None) -> None:
        self.store, self.runtime = store, runtime or Runtime()
        self.origin, self.meter = origin(), Meter()
        self._values: OrderedDict[str, Any] = OrderedDict()

    def __call__(self, step: Step) -> Any:
        """Give the value of an earlier step; raises NotDone where it ended without one."""
        if step.key in self._values:
            self._values.move_to_end(step.key)
            return self._values[step.key]
        value = step.value(self.output(step), self)
        if not step.holds(value):
            forget(step, self.store)
            raise NotDone("failed", CHANGED)
        self._values[step.key] = value
        while len(self._values) > KEPT:
            self._values.popitem(last=False)
        return value

    def output(self, step: Step) -> Output:
        """Give the bare output of an earlier step; raises NotDone where it has none."""
        if not step.stored:
            return step.run(self)
        self.check(step)
        return self.store.output(step.key)

    def check(self, step: Step) -> None:
        """Raise NotDone where an earlier step ended without an output."""
        if not self.store.has(step):
            failure = self.store.failure(step.key) or {"why": "it was not computed"}
            raise NotDone(failure.get("status", "failed"), failure["why"], passing=True)
        entry = self.store.entry(step.key)
        if entry.status != "done":
            raise NotDone(entry.status, entry.why)

    def cost(self, step: Step) -> dict[str, float]:
        """Give what an earlier step cost."""
        return self.store.entry(step.key).cost

    def watched(self, model: nn.Module) -> nn.Module:
        """Give the same model, its passes counted from now on."""
        return self.meter.watch(model)


@dataclass(frozen=True)
class Ended:
    """How a step ended: done, skipped, void, failed, or "busy" where another process has it.

    Attributes:
        mine: whether this call computed it; else the store had it already.
    """

    key: str
    status: str
    why: str = ""
    seconds: float = 0.0
    mine: bool = True


def execute(step: Step, bench: Workbench) -> Ended:
    """Compute a step whose parents have ended, unless the store has it already.

    What the library refuses on purpose is "skipped", with its words as the reason. What the machine
    lacks, a file or an extra, is skipped too, and like an error ("failed") it is no answer: the
    next run asks again.
    """
    store = bench.store
    with store.claim(step.key) as mine:
        if store.has(step):
            return Ended(step.key, store.entry(step.key).status, mine=False)
        if not mine:
            return Ended(step.key, "busy")
        bench.meter.start()
        try:
            _check_code(step)
            _check_parents(step, bench)
        except NotDone as stopped:
            return _stop(step, bench, stopped)
        return _answer(step, bench)


def _answer(step: Step, bench: Workbench) -> Ended:
    """Take the answer of a step that asked the same, or compute it."""
    store = bench.store
    question = Questions(store)(step)
    with store.claim(f"{question or step.key}-asked") as first:
        if not first:  # another step asks the same and is being computed
            return Ended(step.key, "busy")
        if adopt(step, question, store):
            return Ended(step.key, store.entry(step.key).status, mine=False)
        return _compute(step, bench, question)


def _compute(step: Step, bench: Workbench, question: str) -> Ended:
    try:
        output = step.run(bench)
        cost = bench.meter.cost()
        bench.store.save(step, output, cost, bench.origin, question=question)
    except NotDone as stopped:
        return _stop(step, bench, stopped, question)
    except MithridateError as error:
        if isinstance(error, ContractError):
            return _fail(step, bench, error)
        if isinstance(error, (DataError, MissingExtra)):
            bench.store.fail(step, str(error), "", "skipped")
            return Ended(step.key, "skipped", str(error))
        return _stop(step, bench, NotDone("skipped", str(error)), question)
    except (Exception, SystemExit) as error:
        return _fail(step, bench, error)
    return Ended(step.key, "done", "", cost["seconds"])


def _check_parents(step: Step, bench: Workbench) -> None:
    """Raise NotDone where a parent ended without an output, read or not by the step itself."""
    for parent in () if step.answers_always else step.parents:
        if not parent.stored:
            _check_parents(parent, bench)
        else:
            bench.check(parent)


def _stop(step: Step, bench: Workbench, stopped: NotDone, question: str = "") -> Ended:
    if stopped.passing:
        bench.store.fail(step, stopped.why, "", stopped.status)
    else:
        cost = bench.meter.cost()
        bench.store.save(step, Output(), cost, bench.origin, stopped.status, stopped.why, question)
    return Ended(step.key, stopped.status, stopped.why)


def _fail(step: Step, bench: Workbench, error: BaseException) -> Ended:
    why = f"{type(error).__name__}: {error}"
    bench.store.fail(step, why, "".join(traceback.format_exception(error)))
    return Ended(step.key, "failed", why)


_BENCHES: dict[Path, Workbench] = {}


def execute_all(steps: tuple[Step, ...], folder: Path, runtime: Runtime) -> list[Ended]:
    """Compute steps one after the other in this process; what workers of every kind call."""
    bench = _BENCHES.get(folder)
    if bench is None:
        bench = _BENCHES[folder] = Workbench(Store(folder), runtime)
    with runtime.active():
        return [execute(step, bench) for step in steps]


def _check_code(step: Step) -> None:
    """Raise NotDone where this process runs other code than the one that planned the step."""
    try:
        same = step.named_now() == step.key
    except (MithridateError, OSError, SyntaxError):  # half saved, or gone
        same = False
    if not same:
        raise NotDone("failed", CHANGED)
