"""Running a plan: what is ready goes to the executor, until every step has ended."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from mithridate.bench.execute import Ended
from mithridate.bench.executors import Executor, Job
from mithridate.bench.plan import Plan
from mithridate.bench.step import Step
from mithridate.bench.store import Store

LIGHT = 8
"""Steps that train nothing go to a worker so many at a time."""

TRIES = 3
"""Times that a step may lose its worker, the last ones alone, before it counts as failed."""

Progress = Callable[[int, int, Step, Ended], None]
"""Is told the steps ended, the steps in all, and the last one that ended."""


@dataclass
class Ran:
    """What a run did: how many steps ended how, the seconds it took and those spent in steps."""

    ended: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    computing: float = 0.0
    lost: int = 0

    @property
    def computed(self) -> int:
        """Steps that this run computed."""
        return sum(self.ended.values())


def run(plan: Plan, store: Store, executor: Executor, progress: Progress | None = None) -> Ran:
    """Compute every step of a plan that the store lacks; can be stopped and begun again anywhere.

    Steps that another process holds are waited for. The executor is left open.
    """
    return _Run(plan, store, executor, progress).loop()


class _Run:
    """The state of one run."""

    def __init__(
        self, plan: Plan, store: Store, executor: Executor, progress: Progress | None
    ) -> None:
        self.store, self.executor, self.progress = store, executor, progress
        missing = plan.missing(store)
        self.steps = {step.key: step for step in missing}
        self.waiting = {k: self._open(step) for k, step in self.steps.items()}
        self.children: dict[str, list[str]] = defaultdict(list)
        for key, parents in self.waiting.items():
            for parent in parents:
                self.children[parent].append(key)
        self.suspects: deque[str] = deque()
        self.alone = False
        self.heavy: deque[str] = deque()
        self.light: deque[str] = deque()
        for key, parents in self.waiting.items():
            if not parents:
                self._ready(key)
        self.tries: Counter[str] = Counter()
        self.flying, self.done, self.total = 0, 0, len(missing)
        self.ran = Ran()

    def _open(self, step: Step) -> set[str]:
        """The missing steps that a step waits for; steps that are not stored stand for theirs."""
        keys: set[str] = set()
        for parent in step.parents:
            keys |= {parent.key} & self.steps.keys() if parent.stored else self._open(parent)
        return keys

    def _ready(self, key: str) -> None:
        (self.heavy if self.steps[key].heavy else self.light).append(key)

    def loop(self) -> Ran:
        began = time.perf_counter()
        while self.heavy or self.light or self.suspects or self.flying:
            self.alone = self.alone and self.flying > 0
            while self.flying < self._most() and (job := self._next()):
                self.executor.submit(job)
                self.flying += 1
            for job, ended in self.executor.finished():
                self.flying -= 1
                if ended is None:
                    self._lost(job)
                else:
                    for step, end in zip(job, ended, strict=True):
                        self._ended(step, end)
        self.ran.seconds = time.perf_counter() - began
        return self.ran

    def _most(self) -> int:
        """Jobs at a time: one more than there are workers, but one where a killer is looked for."""
        alone = self.alone or (self.suspects and self.executor.shared_fate)
        return 1 if alone else self.executor.slots + 1

    def _next(self) -> Job:
        """What a worker gets next: what others wait for first, so light steps before heavy ones."""
        if self.suspects:
            self.alone = self.executor.shared_fate
            return (self.steps[self.suspects.popleft()],)
        if self.light:
            share = max(1, min(LIGHT, len(self.light) // self.executor.slots))
            return tuple(self.steps[self.light.popleft()] for _ in range(share))
        return (self.steps[self.heavy.popleft()],) if self.heavy else ()

    def _ended(self, step: Step, end: Ended) -> None:
        if end.status == "busy":  # another run has it: ask again, after a breath
            time.sleep(0.05)
            self._ready(step.key)
            return
        self.done += 1
        if end.mine:
            self.ran.ended[end.status] += 1
            self.ran.computing += end.seconds
        if self.progress:
            self.progress(self.done, self.total, step, end)
        for child in self.children[step.key]:
            self.waiting[child].discard(step.key)
            if not self.waiting[child]:
                self._ready(child)

    def _lost(self, job: Job) -> None:
        """Submit again what a dead worker was at, but not for ever.

        Each step is submitted again by itself. Where one dead worker takes all that are in flight
        with it (`shared_fate`), nothing else is in flight meanwhile, so that no step is blamed for
        another more than once.
        """
        self.ran.lost += 1
        for step in job:
            self.tries[step.key] += 1
            if self.tries[step.key] < TRIES:
                self.suspects.append(step.key)
                continue
            why = f"its worker died {TRIES} times; it may need more memory than there is"
            self.store.fail(step, why, "")
            self._ended(step, Ended(step.key, "failed", why))
