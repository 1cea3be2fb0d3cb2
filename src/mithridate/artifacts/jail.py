"""A process with limits, in which files are read by libraries that hostile bytes could break.

The child has its input and its output open and can open nothing more: no file, no socket, no
library. Memory, processor time and the length of the output are bounded by the system. It is no
jail against code that breaks out of a library as root; a container or a virtual machine is.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from mithridate.artifacts.findings import FileLimits
from mithridate.core.errors import DataError

JOBS = {
    "onnx": "mithridate.artifacts.onnx_graphs:look",
    "hdf5": "mithridate.artifacts.keras_weights:look",
    "hdf5 weights": "mithridate.artifacts.keras_weights:weights",
    "torchscript": "mithridate.artifacts.converting:convert_torchscript",
    "pt2": "mithridate.artifacts.converting:convert_exported",
}
"""What may be done inside. Each module has a `prepare` that imports what the job will need."""

START = "import sys; sys.path.insert(0, sys.argv[1]); from mithridate.artifacts.jail import main"
ROOT = Path(__file__).resolve().parents[2]
KEPT = ("PATH", "LANG", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""Variables of the environment that the child is told."""

UNLIMITED = 64 << 20
"""Bytes of output that are allowed beside eight times the size of the file."""


LACKING = 77
"""How the child ends where it lacks a package."""


class NoJail(DataError):
    """A limited process cannot be started here, which says nothing about a file."""


def run_limited(job: str, file: BinaryIO, size: int, limits: FileLimits) -> bytes:
    """Do a job on an open file in a limited process; gives what the job wrote.

    Raises:
        DataError: where the job fails, is out of memory or takes too long, and NoJail where it
            cannot begin.
    """
    if os.name != "posix":
        raise NoJail(f"a {job} file is only read inside a limited process, which needs Unix")
    longest = 8 * size + UNLIMITED
    command = [sys.executable, "-I", "-c", f"{START}; main()", str(ROOT), job,
               str(limits.memory + 4 * size), str(limits.seconds), str(longest)]  # fmt: skip
    told = {name: os.environ[name] for name in KEPT if name in os.environ}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.lseek(file.fileno(), 0, os.SEEK_SET)  # a seek within Python's buffer moves nothing
        try:
            status = subprocess.run(
                command, stdin=file, stdout=out, stderr=err, check=False, close_fds=True,
                env={**told, "OMP_NUM_THREADS": "1"}, timeout=2 * limits.seconds + 30,
            ).returncode  # fmt: skip
        except subprocess.TimeoutExpired:
            raise DataError(f"reading the {job} file took longer than allowed") from None
        out.seek(0)
        err.seek(0)
        if status == LACKING:
            raise NoJail(
                f"the limited process finds no package to read {job} with ({_reason(1, err)})"
            )
        if status:
            raise DataError(f"the {job} file could not be read: {_reason(status, err)}")
        return out.read(longest)


def _reason(status: int, err: BinaryIO) -> str:
    """Say why a child ended: the last line that it wrote, or the signal."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"the process was stopped ({signal.Signals(-status).name})"
        return f"the process was stopped ({-status})"
    words = err.read(65_536).decode("utf-8", "backslashreplace").strip()
    return words.splitlines()[-1][:300] if words else f"status {status}"


def main() -> None:
    """Do what the command line names, on standard input; the result goes to standard output."""
    job, memory, seconds, longest = sys.argv[2], *map(int, sys.argv[3:6])
    place, _, name = JOBS[job].partition(":")
    try:
        module = importlib.import_module(place)
        module.prepare()
    except ImportError as error:  # it looks only where the interpreter itself installs
        sys.stderr.write(f"{error}\n")
        sys.stderr.flush()
        os._exit(LACKING)
    # What a file makes the library print must not end up in the result.
    result = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    limit(memory, seconds, longest)
    try:
        answer = getattr(module, name)(sys.stdin.buffer)
    except MemoryError:
        raise SystemExit("it needs more memory than allowed") from None
    except Exception as error:
        first = str(error).strip().partition("\n")[0][:200]
        raise SystemExit(f"{type(error).__name__}: {first}") from None
    result.write(answer)
    result.flush()
    os._exit(0)  # destructors of what a file made are of no use


def limit(memory: int, seconds: int, longest: int) -> None:
    """Take from this process what a job needs no more; memory: in bytes beside what it has."""
    import resource

    has = 0
    with contextlib.suppress(OSError, ValueError):
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    bounds = {
        "RLIMIT_AS": has + memory, "RLIMIT_CPU": seconds, "RLIMIT_FSIZE": longest,
        "RLIMIT_CORE": 0, "RLIMIT_NPROC": 0, "RLIMIT_NOFILE": 0,
    }  # fmt: skip
    for name, bound in bounds.items():
        with contextlib.suppress(ValueError, OSError, AttributeError):
            resource.setrlimit(getattr(resource, name), (bound, bound))
