"""Steps for tests of executors: they take a moment, and say when they begin and end."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from mithridate.bench.step import Output, Step


@dataclass(frozen=True, eq=False)
class Slow(Step):
    """Sleep, and add one to the sum of what the earlier steps gave."""

    number: int
    earlier: tuple[Step, ...] = ()
    seconds: float = 0.0
    notes: str = ""

    heavy = True  # so that a job is one step

    def run(self, given):
        note(self, "began")
        time.sleep(self.seconds)
        total = sum(int(given(step).tensors["total"]) for step in self.earlier)
        note(self, "ended")
        facts = {"number": self.number, "threads": os.environ["OMP_NUM_THREADS"]}
        return Output({"total": torch.tensor(total + self.number)}, facts)


def note(step, what):
    """Append a line to the step's own file: whole, since it is short and O_APPEND."""
    if step.notes:
        file = os.open(Path(step.notes) / step.key, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(file, f"{what} {os.getpid()}\n".encode())
        os.close(file)


def tree(leaves, seconds=0.0, notes=""):
    """Steps of which every five are summed by one, and those by a last one; parents first."""
    first = [Slow(n, (), seconds, notes) for n in range(leaves)]
    sums = [Slow(100 + n, tuple(first[n : n + 5]), seconds, notes) for n in range(0, leaves, 5)]
    return [*first, *sums, Slow(1000, tuple(sums), seconds, notes)]
