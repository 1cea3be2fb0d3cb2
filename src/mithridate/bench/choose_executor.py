"""From what was asked for on the command line to an executor."""

from __future__ import annotations

from pathlib import Path

from mithridate.bench.executors import Executor, Processes, Serial
from mithridate.bench.ray_executor import RayExecutor
from mithridate.core.errors import MethodError
from mithridate.core.runtime import Runtime

PLACES = {
    "local": "processes of this machine",
    "serial": "this process, one job at a time",
    "ray": "Ray, started on this machine for this run",
    "ray:auto": "the Ray cluster that this machine belongs to",
    "ray:HOST:PORT": "the Ray cluster whose head answers there, joined from one of its machines",
    "ray://HOST:PORT": "the same from outside of it, through Ray's client",
}
"""What may be asked for, in words."""


def executor(on: str, folder: Path, runtime: Runtime, workers: int, paths: list[str]) -> Executor:
    """Give the executor of a place.

    Args:
        on: one of `PLACES`.
        folder: of the store.
        workers: processes, where they are started here.
        paths: where recipes are imported from.

    Raises:
        MethodError: where the place is not known, and what `RayExecutor` raises.
    """
    if on == "local":
        return Processes(folder, runtime, workers, paths)
    if on == "serial":
        return Serial(folder, runtime)
    if on == "ray":
        return RayExecutor(folder, runtime, None, paths, workers)
    if on.startswith("ray://"):
        return RayExecutor(folder, runtime, on, paths)
    address = on.removeprefix("ray:")
    host, colon, port = address.rpartition(":")
    if on.startswith("ray:") and (address == "auto" or (host and colon and port.isdigit())):
        return RayExecutor(folder, runtime, address, paths)
    raise MethodError(f"cannot run on {on!r}; expected one of {', '.join(PLACES)}")
