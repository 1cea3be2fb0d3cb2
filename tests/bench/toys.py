"""Steps of milliseconds that add numbers, refuse, break, wait or kill their worker, as told."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from mithridate.bench.execute import execute_all
from mithridate.bench.executors import Serial
from mithridate.bench.plan import Plan
from mithridate.bench.run import run
from mithridate.bench.step import NotDone, Output, Step
from mithridate.bench.store import Store
from mithridate.core.errors import ContractError, MethodError, MissingExtra
from mithridate.core.runtime import Runtime

TESTS = str(Path(__file__).parents[1])
"""Where workers import these steps from."""


@dataclass(frozen=True, eq=False)
class Toy(Step):
    """Add 1 to the sum of the earlier ones.

    does: what happens, see `HABITS`; notes: a folder to note in that it ran.
    """

    name: object
    earlier: tuple[Step, ...] = ()
    does: str = ""
    notes: str = ""

    def run(self, given):
        if self.notes:
            noted(self.notes, self.name)
        facts = HABITS[self.does](self) or {}
        total = 1 + sum(int(given(step).tensors["total"]) for step in self.earlier)
        return Output({"total": torch.tensor(total)}, {"name": str(self.name), **facts})


class Heavy(Toy):
    """The same, one to a job."""

    heavy = True


class Brief(Toy):
    """The same, made again wherever it is needed."""

    stored = False


def noted(notes, name):
    file = os.open(Path(notes) / "ran", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{name} {os.getpid()}\n".encode())
    os.close(file)


def ran(notes):
    """What ran and in which process, in order."""
    file = Path(notes) / "ran"
    lines = file.read_text().splitlines() if file.exists() else []
    return [(name, int(pid)) for name, pid in map(str.split, lines)]


def first_time(step):
    """Whether this was never asked before, by any process."""
    mark = Path(step.notes) / f"{step.name}-was-here"
    known = mark.exists()
    mark.touch()
    return not known


def raising(error):
    def does(step):
        raise error

    return does


def break_once(step):
    if first_time(step):
        raise ZeroDivisionError("the first time")


def die_once(step):
    if first_time(step):
        os.kill(os.getpid(), signal.SIGKILL)


def lack_once(step):
    if first_time(step):
        raise MissingExtra("install the extra")


def wait(step):
    until = time.monotonic() + 20
    while not (Path(step.notes) / "go").exists() and time.monotonic() < until:
        time.sleep(0.01)


HABITS = {
    "": lambda step: None,
    "refuses": raising(MethodError("refused on purpose")),
    "breaks": raising(ZeroDivisionError("a bug")),
    "breaks its contract": raising(ContractError("scores must be finite")),
    "is void": raising(NotDone("void", "the attack did not take")),
    "breaks once": break_once,
    "lacks an extra once": lack_once,
    "dies": lambda step: os._exit(9),
    "dies once": die_once,
    "waits": wait,
    "naps": lambda step: time.sleep(0.1),
    "gives what nothing can keep": lambda step: {"thing": object()},
    "leaves": raising(SystemExit(3)),
}


def plan_of(*steps):
    """A plan of steps alone, parents first."""
    return Plan((), (), tuple(s for s in ordered(steps) if s.stored))


def ordered(steps):
    found = {}
    for step in steps:
        found |= {s.key: s for s in ordered(step.parents)}
        found[step.key] = step
    return list(found.values())


def serially(store, *steps, progress=None):
    """Run steps and what they need in this process."""
    return run(plan_of(*steps), store, Serial(store.folder, Runtime()), progress)


def stored(folder, *steps):
    """A store in which these steps were run."""
    store = Store(folder)
    serially(store, *steps)
    return store


def total(store, step):
    return int(store.output(step.key).tensors["total"])


def words(store, step):
    """How a step ended, and why."""
    if store.has(step):
        entry = store.entry(step.key)
        return entry.status, entry.why
    failure = store.failure(step.key)
    return ("failed", failure["why"]) if failure else ("pending", "")


class FallingPool:
    """As a pool of processes behaves whose worker dies: all that it was at is lost at once."""

    shared_fate = True

    def __init__(self, folder, slots=2):
        self.folder, self.slots = folder, slots
        self.flying = []

    def submit(self, job):
        self.flying.append(job)

    def finished(self):
        for job in self.flying:
            deadly = [i for i, step in enumerate(job) if step.does == "dies"]
            if deadly:
                execute_all(job[: deadly[0]], self.folder, Runtime())
                lost, self.flying = self.flying, []
                return [(job, None) for job in lost]
        job = self.flying.pop(0)
        return [(job, execute_all(job, self.folder, Runtime()))]

    def close(self):
        pass
