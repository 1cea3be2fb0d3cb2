"""A model file looked at from outside: nothing in it is run, imported or unpickled."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from mithridate.artifacts import agents, jail
from mithridate.artifacts.archives import Archive, open_archive
from mithridate.artifacts.boosted_reading import read_boosted
from mithridate.artifacts.exported import look_at_exported
from mithridate.artifacts.findings import SEVERITIES, FileLimits, FileReport, Log
from mithridate.artifacts.onnx_graphs import judge_beside
from mithridate.artifacts.recognise import (
    begins_late,
    holds_pickle,
    kind_of_zip,
    recognise,
    two_at_once,
)
from mithridate.artifacts.tensor_files import look_at_array, look_at_npz, look_at_safetensors
from mithridate.artifacts.torch_files import (
    look_at_member,
    look_at_pickles,
    look_at_zip,
    looks_like_pickle,
    second_opinion,
)
from mithridate.artifacts.torchscript import look_at_torchscript
from mithridate.core.errors import DataError

NEEDED = {"onnx": ("onnx", "onnx"), "hdf5": ("h5py", "keras")}
"""The package that reads a format, and the extra that brings it."""


PROGRAMS = {"torchscript": "TorchScript", "pt2": "an exported program, .pt2"}
"""Formats that hold a program beside the weights, and how to speak of them."""


def program_expected(kind: str, code: bool, log: Log) -> None:
    """Hold the one rule for programs: they are a danger to whoever asked for weights alone."""
    if code:
        log.note(f"the file is a program ({kind}), as expected")
        return
    log.danger(
        f"the file is a program ({kind}), which runs in whatever process loads it",
        todo="ask for weights as safetensors, or say with --code that a program is expected",
    )


def inspect_file(
    path: str | Path, *, code: bool = False, values: bool = True, limits: FileLimits | None = None
) -> FileReport:
    """Say what a model file is and what in it could harm whoever opens it.

    Args:
        code: whether a program is expected, TorchScript or an exported one.
        values: whether weights are read to find NaN and infinity.

    Raises:
        DataError: where there is no file, or nothing in it.
    """
    place = Path(path)
    log = Log(limits or FileLimits())
    with open_file(place) as file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise DataError(f"{str(path)!r}: expected a model file, found an empty one")
        kind = _look_within_memory(file, size, place, log, code, values)
        if kind in ("torch", "pickle", "torch legacy"):
            _ask_picklescan(place, log)
    return FileReport(str(path), kind, size, log.ended(), log.cut)


def open_file(place: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe or a device would wait for ever. Raises DataError."""
    if not place.exists():
        raise DataError(f"{str(place)!r}: no such file; expected a model")
    if not stat.S_ISREG(place.stat().st_mode):
        raise DataError(f"{str(place)!r}: expected a file, found a folder or a device")
    return place.open("rb")


def _look_within_memory(
    file: BinaryIO, size: int, place: Path, log: Log, code: bool, values: bool
) -> str:  # fmt: skip
    """Look at a file, or say that it takes too much memory; gives its format."""
    try:
        return _look_at(file, size, place, log, code, values)
    except (MemoryError, RecursionError):
        log.danger("looking at the file takes more memory than allowed")
        return recognise(file, size)


def _look_at(
    file: BinaryIO, size: int, place: Path, log: Log, code: bool, values: bool
) -> str:  # fmt: skip
    """Recognise a file and look at it; gives its format."""
    kind = recognise(file, size)
    if kind == "zip":
        return _zip(file, size, log, code, values)
    _disguises(kind, file, size, log)
    if kind in PLAIN:
        PLAIN[kind](file, size, log, values)
    elif kind == "pickle":
        return look_at_pickles(file, size, log, values)
    elif kind in NEEDED:
        _look_inside_jail(kind, file, size, place.parent, log)
    elif kind == "tar":
        log.unknown("a tar archive, torch's oldest format, is not looked into",
                    todo="ask for tensors by name as safetensors")  # fmt: skip
    elif kind == "machine code":
        log.danger("the file is machine code")
    else:
        log.unknown(f"the format is {kind}, which is not looked into",
                    todo="ask for safetensors, ONNX or a .pt of tensors")  # fmt: skip
    return kind


def _look_at_trees(file: BinaryIO, size: int, log: Log, values: bool) -> None:
    """Read boosted trees, which are numbers and names and nothing else."""
    try:
        trees = read_boosted(file, "the file")
    except DataError as error:
        log.warning(str(error))
        return
    columns = f"{len(trees.columns)} columns" if trees.columns else "columns without names"
    log.note(f"{len(trees.trees)} trees of {trees.writer} for {trees.classes} classes, {columns}")


PLAIN = {
    "safetensors": look_at_safetensors, "npy": look_at_array, "lightgbm": _look_at_trees,
    "xgboost": _look_at_trees,
}  # fmt: skip
"""Formats that hold numbers and names and nothing else, and who looks at each."""


def _disguises(kind: str, file: BinaryIO, size: int, log: Log) -> None:
    """Look for what the file is to readers that take it for something else."""
    if two_at_once(file, size):
        log.danger("the file is an archive as well, and readers take it for different things")
    if kind in ("onnx", "hdf5", "safetensors") and holds_pickle(file, size, kind):
        log.danger("the file is a pickle as well, which runs in readers that take it for one")
    if kind == "hdf5" and begins_late(file):
        log.danger("the file begins with something else than HDF5, which other readers may run")


def _zip(file: BinaryIO, size: int, log: Log, code: bool, values: bool) -> str:
    """Look at an archive, and at what it is an archive of."""
    members = open_archive(file, size, log)
    if members is None or log.bomb:
        return "zip"
    kind = kind_of_zip(members)
    if kind == "torch":
        look_at_zip(members, size, log, values)
        if not (log.cut or log.counts["danger"] or log.counts["unknown"]):
            second_opinion(file, log)  # without limits, so only on what was read to its end
    elif kind in PROGRAMS:
        program_expected(PROGRAMS[kind], code, log)
        look = look_at_torchscript if kind == "torchscript" else look_at_exported
        look(members, size, log, values)
    elif kind == "npz":
        look_at_npz(members, log, values)
    elif kind == "agent":
        weights = agents.inner(members, log)
        agents.say_pickles(log)
        if weights is not None:
            _zip(weights, members.members[agents.WEIGHTS].size, log, code, values)
    else:
        _other(members, size, kind, log)
    return kind


def _other(members: Archive, size: int, kind: str, log: Log) -> None:
    """Look at an archive of no known kind."""
    for member in members.members.values():
        if looks_like_pickle(members, member):
            look_at_member(members, member, size, log)
    if kind == "torch package":
        log.danger("a torch package holds Python code, which runs when it is opened")
    else:
        log.unknown(f"the {kind} is of no kind that is looked into",
                    todo="ask for safetensors, ONNX or a .pt of tensors")  # fmt: skip


def _look_inside_jail(kind: str, file: BinaryIO, size: int, folder: Path, log: Log) -> None:
    """Let a limited process look at a format whose libraries hostile bytes could break."""
    package, extra = NEEDED[kind]
    if importlib.util.find_spec(package) is None:
        log.unknown(f"without the package {package} the file is not looked into",
                    todo=f"pip install 'mithridate[{extra}]'")  # fmt: skip
        return
    if kind == "onnx" and size > log.limits.graph:
        log.unknown(f"the graph has {size:,} bytes, more than {log.limits.graph:,} are looked at")
        return
    try:
        answer = json.loads(jail.run_limited(kind, file, size, log.limits))
    except jail.NoJail as error:
        todo = f"install {package} where the interpreter itself looks, on Unix"
        log.unknown(f"the file is not looked into: {error}", todo=todo)
        return
    except (DataError, ValueError, RecursionError) as error:
        log.danger(f"looking at the file broke the library that reads it, or its limits: {error}")
        return
    for each in answer["findings"]:
        severity = next(known for known in SEVERITIES if known == each["severity"])
        what, where, todo = (str(each[key]) for key in ("what", "where", "todo"))
        log.add(severity, what, where, todo, harmless=bool(each["harmless"]))
    if kind == "onnx":
        judge_beside(answer["beside"], folder, log)


def _ask_picklescan(place: Path, log: Log) -> None:
    """Ask picklescan, where somebody has installed it, for a second opinion."""
    if importlib.util.find_spec("picklescan") is None:
        return
    try:
        scan: Callable[[str], Any] = importlib.import_module("picklescan.scanner").scan_file_path
        infected = int(scan(str(place)).infected_files)
    except Exception as error:  # somebody else's scanner may do anything on hostile bytes
        log.note(f"picklescan could not judge the file: {type(error).__name__}")
        return
    if infected:
        log.danger("picklescan calls the file infected")
    else:
        log.note("picklescan found nothing")
