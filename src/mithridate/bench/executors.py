"""Where steps are computed: in this process, or in processes of this machine.

An executor takes jobs, a job is a few steps for one process, and says which ended. What a worker
loses by dying is given back as lost; whoever runs the sweep submits it again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Protocol

from mithridate.bench.execute import Ended, execute_all
from mithridate.bench.step import Step
from mithridate.core.runtime import Runtime

Job = tuple[Step, ...]
"""Steps that one process computes one after the other."""

Finished = list[tuple[Job, "list[Ended] | None"]]
"""Jobs that ended, with how each step ended, or None where the worker was lost."""


class Executor(Protocol):
    """Computes jobs somewhere.

    Attributes:
        slots: how many at a time.
        shared_fate: whether a worker that dies takes all jobs in flight with it, and not its own
            alone.
    """

    slots: int
    shared_fate: bool

    def submit(self, job: Job) -> None:
        """Take a job."""

    def finished(self) -> Finished:
        """Wait until at least one job ended, and give all that did."""

    def close(self) -> None:
        """Let go of workers; what they are at is dropped."""


class Serial:
    """Computes in this process, one job at a time: for tests, debugging, and one core."""

    slots = 1
    shared_fate = False

    def __init__(self, folder: Path, runtime: Runtime) -> None:
        self.folder, self.runtime = folder, runtime
        self._done: Finished = []

    def submit(self, job: Job) -> None:
        """Compute the job at once."""
        self._done.append((job, execute_all(job, self.folder, self.runtime)))

    def finished(self) -> Finished:
        """Give what was computed."""
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        """Nothing to let go of."""


class Processes:
    """Computes in processes of this machine, one thread each; they end with this one."""

    shared_fate = True

    def __init__(self, folder: Path, runtime: Runtime, workers: int, paths: list[str]) -> None:
        self.slots, self.folder, self.runtime, self.paths = workers, folder, runtime, paths
        self._jobs: dict[Future[list[Ended]], Job] = {}
        self._pool = self._fresh()

    def _fresh(self) -> ProcessPoolExecutor:
        # spawned, since a fork of a process that has used threads may hang
        context = multiprocessing.get_context("spawn")
        os.environ.setdefault("OMP_NUM_THREADS", str(self.runtime.threads))  # of what is no torch
        return ProcessPoolExecutor(
            self.slots, context, initializer=_begin, initargs=(os.getpid(), self.paths)
        )

    def submit(self, job: Job) -> None:
        """Take a job."""
        try:
            future = self._pool.submit(execute_all, job, self.folder, self.runtime)
        except BrokenProcessPool:
            self._pool = self._fresh()
            future = self._pool.submit(execute_all, job, self.folder, self.runtime)
        self._jobs[future] = job

    def finished(self) -> Finished:
        """Wait until at least one job ended; all that were running are lost where a worker died."""
        ended: Finished = []
        for future in wait(self._jobs, return_when=FIRST_COMPLETED).done:
            job = self._jobs.pop(future)
            lost = isinstance(future.exception(), BrokenProcessPool)
            ended.append((job, None if lost else future.result()))
        return ended

    def close(self) -> None:
        """End the workers now."""
        for process in list((self._pool._processes or {}).values()):  # noqa: SLF001
            process.terminate()  # the pool itself would wait for what they are at
        self._pool.shutdown(wait=True, cancel_futures=True)


def _begin(parent: int, paths: list[str]) -> None:
    """Prepare a worker: where recipes are imported from, and an end when its parent is gone."""
    sys.path[:0] = [path for path in paths if path not in sys.path]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and closes
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)  # killed parents cannot tell; an unfinished step leaves nothing behind
