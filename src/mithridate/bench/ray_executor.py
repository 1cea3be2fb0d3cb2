"""Where steps are computed: on the machines of a Ray cluster.

Ray carries jobs to workers and notices which were lost. Outputs never travel through it: they go
into the store, which all nodes must share, so that a node that dies takes nothing with it.
"""

from __future__ import annotations

import copy
import fcntl
import json
import os
import pickle
import socket
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mithridate.bench.execute import Ended, execute_all
from mithridate.bench.executors import Finished, Job
from mithridate.bench.step import Step
from mithridate.core.errors import DataError, MethodError, MissingExtra, MithridateError
from mithridate.core.runtime import Runtime

OBJECTS = 80_000_000
"""Bytes for Ray's own objects, nearly its least: nothing large travels through it."""

PATIENCE = 20.0
"""Seconds until a new file must be seen from other machines; network file systems take some."""


@dataclass(frozen=True)
class Shared:
    """What every node must see: the store, by a file with a sign in it, and the data.

    Attributes:
        data: the folder of data sets, empty where none was named.
    """

    folder: Path
    sign: str
    data: str = ""

    @property
    def mark(self) -> Path:
        """The file that holds the sign as long as the sweep runs."""
        return self.folder / f".shared-{self.sign}"

    def answer(self, node: str) -> Path:
        """The file by which a node shows that it can write."""
        return self.folder / f".shared-{self.sign}-{node}"


class RayExecutor:
    """Computes on a Ray cluster, one processor for each job, and one GPU on "cuda"; see `Executor`.

    Where this process is connected to Ray already, that connection is used and left open. Nodes may
    come and go.

    Args:
        address: "auto" for the cluster that this machine belongs to, HOST:PORT for another,
            "ray://HOST:PORT" through Ray's client, None to start Ray on this machine alone, on
            `workers` processors.
        paths: where recipes are imported from; the same on all nodes.

    Raises:
        MissingExtra: without Ray.
        MethodError: where no cluster answers.
        DataError: where a node does not see the store or the data, or has other code.
    """

    shared_fate = False

    def __init__(
        self, folder: Path, runtime: Runtime, address: str | None, paths: list[str],
        workers: int | None = None,
    ) -> None:  # fmt: skip
        ray = _ray()
        self.folder, self.runtime = folder.resolve(), runtime
        self.paths = [str(Path(path).resolve()) for path in paths]
        self._jobs: dict[Any, Job] = {}
        self._needs = {"CPU": 1.0} | ({"GPU": 1.0} if runtime.device.startswith("cuda") else {})
        data = os.environ.get("MITHRIDATE_DATA", "")
        data = str(Path(data).resolve()) if data else ""
        self._shared = Shared(self.folder, uuid.uuid4().hex, data)
        self._owned = not ray.is_initialized()
        if self._owned:
            _join(address, workers)
        try:
            self.slots = self._room()
            self._check_nodes()
            self._task = self._remote(_compute, self._needs)
        except BaseException:
            self.close()
            raise

    def submit(self, job: Job) -> None:
        """Take a job."""
        ref = self._task.remote(pickle.dumps(job), self._shared, self.runtime, self.paths)
        self._jobs[ref] = job

    def finished(self) -> Finished:
        """Wait until at least one job ended; those of a lost worker or node are lost."""
        ray, refs = _ray(), list(self._jobs)
        ray.wait(refs)
        ready, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        self.slots = self._room()
        return [(self._jobs.pop(ref), _result(ref)) for ref in ready]

    def close(self) -> None:
        """Drop what runs; leave the cluster as it was, or end it where it was started here."""
        ray = _ray()
        for ref in self._jobs:
            ray.cancel(ref, force=True)
        self._jobs = {}
        if self._owned:
            ray.shutdown()
        for file in self.folder.glob(f"{self._shared.mark.name}*"):
            file.unlink(missing_ok=True)

    def _room(self) -> int:
        """How many jobs the nodes that are there can take at a time."""
        total = _ray().cluster_resources()
        return max(1, min(int(total.get(name, 0.0) // need) for name, need in self._needs.items()))

    def _remote(self, task: Any, needs: dict[str, float], **options: Any) -> Any:
        """A function as Ray runs it: once, since a lost job is submitted again by the sweep."""
        told = {"OMP_NUM_THREADS": str(self.runtime.threads)}  # before torch is imported there
        if self._shared.data:
            told["MITHRIDATE_DATA"] = self._shared.data
        return _ray().remote(task).options(
            num_cpus=needs.get("CPU", 0.0), num_gpus=needs.get("GPU", 0.0),
            max_retries=0, runtime_env={"env_vars": told}, **options,
        )  # fmt: skip

    def _check_nodes(self) -> None:
        """Ask every node to read a file in the store and to write another."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.folder.mkdir(parents=True, exist_ok=True)
        self._shared.mark.write_text(self._shared.sign)
        asked = {}
        for node in _ray().nodes():
            if node["Alive"] and node["Resources"].get("CPU"):
                there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                # no processor is asked for, so that a busy node answers too
                ask = self._remote(_look, {}, scheduling_strategy=there)
                asked[node["NodeID"]] = ask.remote(self._shared, node["NodeID"])
        for name, ref in asked.items():
            host = _result(ref)
            if host is not None and not _seen(self._shared.answer(name)):
                raise DataError(
                    f"what {host} writes into {self.folder} is not seen here; put the store on a "
                    "file system that all nodes share"
                )


def _ray() -> Any:
    """Ray itself; raises MissingExtra where it is not installed."""
    try:
        import ray
    except ImportError:
        raise MissingExtra(
            "running on Ray needs the package ray; install it with: pip install 'mithridate[ray]'"
        ) from None
    return ray


def _join(address: str | None, workers: int | None) -> None:
    """Connect to a cluster, or start Ray here."""
    ray = _ray()
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told of a sweep
        options |= {
            "num_cpus": workers, "include_dashboard": False, "object_store_memory": OBJECTS,
        }  # fmt: skip
    try:
        if address not in (None, "auto"):
            _reach(str(address))
        ray.init(address or "local", **options)
    except (OSError, RuntimeError, ValueError) as error:
        raise MethodError(
            f"no Ray cluster could be joined at {address or 'this machine'}: {error}; start one "
            "with `ray start --head`, or compute on this machine: --on local"
        ) from error


def _reach(address: str) -> None:
    """Raise OSError where nothing listens: Ray itself asks for two minutes, and then exits."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    socket.create_connection((host, int(port)), timeout=10).close()


def _result(ref: Any) -> Any:
    """What a task gave, or None where its worker was lost; raises what the task raised."""
    ray = _ray()
    known = ray.exceptions
    lost = (
        known.WorkerCrashedError, known.NodeDiedError, known.LocalRayletDiedError,
        known.ObjectLostError, known.OutOfMemoryError, known.TaskUnschedulableError,
    )  # fmt: skip
    try:
        return ray.get(ref)
    except known.RayTaskError as error:
        if isinstance(error.cause, MithridateError):
            raise error.cause from None
        raise
    except lost:
        return None


def _look(shared: Shared, node: str) -> str:
    """On a node: see the store and the data, write into the store, and give the host's name."""
    _check_sight(shared)
    with shared.answer(node).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(
                f"{shared.folder} cannot be locked from {socket.gethostname()} ({error}); mount it "
                "with locks, e.g. -o flock for Lustre"
            ) from None
        file.write(json.dumps({"host": socket.gethostname()}))
    return socket.gethostname()


def _compute(job: bytes, shared: Shared, runtime: Runtime, paths: list[str]) -> list[Ended]:
    """On a node: compute a job; it comes pickled, so that paths are set before it is read."""
    _check_sight(shared)
    sys.path[:0] = [path for path in paths if path not in sys.path]
    try:
        steps: Job = pickle.loads(job)
    except (ImportError, AttributeError) as error:
        raise DataError(
            f"{socket.gethostname()} cannot import what a step needs ({error}); install the same "
            f"versions there, and share the folders of recipes: {paths}"
        ) from None
    for step in steps:
        _check_code(step)
    return execute_all(steps, shared.folder, runtime)


def _check_sight(shared: Shared, patience: float = PATIENCE) -> None:
    """Raise DataError where this node does not see the store or the data."""
    if not _seen(shared.mark, patience) or shared.mark.read_text() != shared.sign:
        raise DataError(
            f"{socket.gethostname()} does not see the store: expected {shared.mark}; put the store "
            "on a file system that all nodes share, under the same path"
        )
    if shared.data and not Path(shared.data).is_dir():
        raise DataError(
            f"{socket.gethostname()} does not see the data: expected the folder {shared.data} that "
            "MITHRIDATE_DATA names; share or copy it"
        )


def _seen(path: Path, patience: float = PATIENCE) -> bool:
    """Whether a file shows up within some seconds."""
    until = time.monotonic() + patience
    while not path.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


def _check_code(step: Step) -> None:
    """Raise DataError where this node's code would give the step another key.

    What other code computes must not be stored under the key of this one.
    """
    again = copy.copy(step)
    again.__dict__.pop("key", None)
    if again.key != step.key:
        raise DataError(
            f"{socket.gethostname()} has other code for the step {step.kind()} than the machine "
            "that the sweep was started on; install the same versions on all nodes"
        )
    for parent in step.parents:
        if not parent.stored:  # the step computes it itself
            _check_code(parent)
