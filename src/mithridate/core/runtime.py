"""Where and how to compute: everything here must leave a result unchanged up to rounding."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from mithridate.core.errors import MethodError


@dataclass(frozen=True)
class Runtime:
    """Device, threads of one process, worker processes and the batch size of inference."""

    device: str = "cpu"
    threads: int = 1  # two threads on two busy cores train 15 to 28 times slower than one
    workers: int = 1
    batch_size: int = 1024

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Use this number of torch threads inside the block and restore the old one after it."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def device_of(name: str) -> str:
    """Give the device to compute on; "auto" is the first GPU that torch can use, or the CPU."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        first = str(error).partition("\n")[0]
        raise MethodError(f"the device {name!r} cannot be used here: {first}") from None
    return name


def environment() -> dict[str, str]:
    """Describe what a result was computed with, for records: versions, processor, threads."""
    packages = ("mithridate", "torch", "numpy", "scipy", "scikit-learn", "pillow", "pyarrow")
    versions = {}
    for name in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu",
        **versions,
    }


def _processor() -> str:
    """The processor's model, where the system tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
