"""Files of torch.save, and plain pickles: every program in them is read, and sizes are compared."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterable
from typing import BinaryIO

from mithridate.artifacts.archives import Archive, Member
from mithridate.artifacts.findings import Log
from mithridate.artifacts.pickle_names import ALLOWED, HARMLESS, TORCHAO, judge_program
from mithridate.artifacts.pickle_program import Program, Storage
from mithridate.artifacts.pickles import disassemble
from mithridate.artifacts.tensor_files import pieces
from mithridate.artifacts.values import BITS, nbytes, nonfinite, report_nonfinite

MAGIC = 0x1950A86A20F9469CFC6C
"""The first value of what torch saved before it took to zip archives."""

MANY = 1_000
"""Pickles that may follow one another in a file."""


def look_at_zip(members: Archive, size: int, log: Log, values: bool) -> None:
    """Check a zip archive of torch.save."""
    for name, member in members.members.items():
        if name.endswith("/data.pkl") or name == "data.pkl":
            program = look_at_member(members, member, size, log)
            if program is not None:
                root = name[: -len("data.pkl")]
                _records(members, f"{root}data/", program.storages, log, values)
        elif looks_like_pickle(members, member):
            look_at_member(members, member, size, log)


SCRIPT = re.compile(
    rf"__torch__\.[\w.]+|torch\.jit\._pickle\.(build_\w+list|restore_type_tag)|({ALLOWED.pattern})",
    re.VERBOSE,
)
"""What the pickles of TorchScript name: its own classes, which are no Python, and tensors."""


def look_at_script(members: Archive, size: int, log: Log, values: bool) -> None:
    """Check the pickles of a TorchScript archive, and its storages."""
    for name, member in members.members.items():
        if name.endswith((".pkl", ".debug_pkl")) or looks_like_pickle(members, member):
            program = look_at_member(members, member, size, log, SCRIPT)
            if program is not None and name.endswith(("data.pkl", "constants.pkl")):
                folder = name.removesuffix(".pkl")
                _records(members, f"{folder}/", program.storages, log, values)


def looks_like_pickle(members: Archive, member: Member) -> bool:
    """Tell whether a member is a pickle by its name, or by its first bytes."""
    name = member.name.casefold()
    if name.endswith((".pkl", ".pickle", ".debug_pkl", ".joblib", ".dill")):
        return True
    head = members.head(member, 64)
    if len(head) < 3 or head[0] != 0x80 or not 2 <= head[1] <= 5:
        return False
    program = disassemble(io.BytesIO(head), len(head), Log())  # raw weights soon make no sense
    return program.opcodes >= 4 or not program.error


def look_at_member(
    members: Archive, member: Member, size: int, log: Log, allowed: re.Pattern[str] = ALLOWED
) -> Program | None:
    """Read one pickle in an archive; allowed: the names that it may mention."""
    words = members.read(member, log.limits.pickle, log)
    if words is None:
        log.cut = True
        return None
    stream = io.BytesIO(words)
    first = program = disassemble(stream, len(words), log)
    judge_program(first, member.name, log, size, allowed)
    for _ in range(MANY):
        if program.error or program.end >= len(words):
            break
        program = disassemble(stream, len(words) - program.end, log)
        if program.names or program.hidden:  # raw bytes behind a pickle make no sense as one
            judge_program(program, member.name, log, size, allowed)
    if not first.error and first.end < len(words):
        log.warning(f"{len(words) - first.end:,} bytes follow the pickle", member.name)
    return first


def _records(
    members: Archive, folder: str, storages: Iterable[Storage], log: Log, values: bool
) -> None:
    """Compare what a pickle expects of each storage with what the archive holds."""
    for storage in dict.fromkeys(storages):
        name = f"{folder}{storage.key}"
        member = members.members.get(name)
        if not _is_sensible(storage, name, log):
            continue
        if member is None:
            log.warning("the pickle expects a storage that the archive lacks", name)
        elif nbytes(storage.count, storage.kind) > member.size:
            log.danger(
                f"the pickle expects {nbytes(storage.count, storage.kind):,} bytes, found "
                f"{member.size:,}", name,
            )  # fmt: skip
        elif values and member.readable:
            report_nonfinite(nonfinite(members.chunks(member), storage.kind), name, log)


def _is_sensible(storage: Storage, where: str, log: Log) -> bool:
    """Tell whether a storage has a known type and a number of elements."""
    if storage.kind not in BITS or storage.count < 0:
        log.danger("the pickle names a storage in a way that no torch.save does", where)
        return False
    return True


def _is_none(program: Program) -> bool:
    """Whether bytes behind a pickle are no pickle at all."""
    return bool(program.error) and not (program.cut or program.names or program.hidden)


def look_at_pickles(file: BinaryIO, size: int, log: Log, values: bool) -> str:
    """Read the pickles that a file consists of; gives "torch legacy" or "pickle"."""
    file.seek(0)
    programs: list[Program] = []
    while (begin := file.tell()) < size and len(programs) < MANY:
        if begin and _legacy(programs) and len(programs) == 5:
            break
        quiet = Log(log.limits, opcodes=log.opcodes) if programs else log
        program = disassemble(file, size - begin, quiet)
        log.opcodes = quiet.opcodes
        if programs and _is_none(program):
            log.warning(f"{size - begin:,} bytes follow the pickle and are none", f"byte {begin}")
            break
        judge_program(program, f"pickle {len(programs) + 1}", log, size)
        programs.append(program)
        if program.error:
            break
    else:
        if file.tell() < size:
            log.unknown(f"more than {MANY} pickles follow one another")
    if _legacy(programs):
        _after(file, size, programs, log, values)
        return "torch legacy"
    if any(program.storages for program in programs):
        log.warning("the pickle expects tensors that are not in the file")
    return "pickle"


def _legacy(programs: list[Program]) -> bool:
    """Tell whether the first pickle is torch's magic number."""
    return bool(programs) and programs[0].value == MAGIC


def _after(file: BinaryIO, size: int, programs: list[Program], log: Log, values: bool) -> None:
    """Compare the storages behind the pickles of an old file with what the pickles expect."""
    if len(programs) < 5 or any(program.error for program in programs):
        log.warning("the file ends before its tensors: it was cut off")
        log.cut = True
        return
    expected = {storage.key: storage for storage in programs[3].storages}
    for key in programs[4].strings:
        storage = expected.get(key)
        if storage is None or not _is_sensible(storage, f"storage {key}", log):
            log.warning("the file holds a storage that no tensor uses", f"storage {key}")
            return
        words = file.read(8)
        length = nbytes(storage.count, storage.kind)
        begin = file.tell()
        if len(words) < 8 or struct.unpack("<q", words)[0] != storage.count:
            log.warning("the storage has another length than the pickle says", f"storage {key}")
            return
        if begin + length > size:
            log.danger(f"the storage needs {length:,} bytes, found {size - begin:,}",
                       f"storage {key}")  # fmt: skip
            return
        if values:
            report_nonfinite(
                nonfinite(pieces(file, begin, length), storage.kind), f"storage {key}", log
            )
        file.seek(begin + length)
    if file.tell() != size:
        log.warning(f"{size - file.tell():,} bytes follow the last storage")


def second_opinion(file: BinaryIO, log: Log) -> None:
    """Ask torch's own disassembler which names its safe loader refuses."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    file.seek(0)
    try:
        names = get_unsafe_globals_in_checkpoint(file)
    except Exception:  # what it cannot read was read above, with a finding of its own
        return
    for name in sorted(set(names) - log.excused):
        if not any(known.fullmatch(name) for known in (ALLOWED, HARMLESS, TORCHAO)):
            log.danger(f"torch itself calls {name} unsafe", "data.pkl")
