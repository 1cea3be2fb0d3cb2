"""What a file is, by its bytes and never by its name."""

from __future__ import annotations

import io
import re
import struct
from typing import BinaryIO

from mithridate.artifacts import agents
from mithridate.artifacts.archives import END, Archive
from mithridate.artifacts.findings import FileLimits, Log
from mithridate.artifacts.pickles import disassemble

IDENTIFIER = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
HDF5 = b"\x89HDF\r\n\x1a\n"
SIGNS = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"Rar!": "rar",
    b"\x93NUMPY": "npy", b"GGUF": "gguf", b"\x7fELF": "machine code",
    b"MZ\x90": "machine code",
}  # fmt: skip
"""What other formats begin with."""


def recognise(file: BinaryIO, size: int) -> str:
    """Give "zip", "hdf5", "safetensors", "tar", "pickle", "onnx", another name, or "unknown"."""
    file.seek(0)
    head = file.read(512)
    if head.startswith((b"PK\x03\x04", END)):
        return "zip"
    if head.startswith(HDF5) or _at(file, (512, 1024, 2048), HDF5):
        return "hdf5"
    if head[8:9] == b"{" and (head[5:8] == b"\0\0\0" or size - 8 < 1 << 24):
        return "safetensors"
    if head[257:262] == b"ustar":
        return "tar"
    if known := _signed(head):
        return known
    if _onnx(file, size):
        return "onnx"
    return "pickle" if _pickle(file, size, head) else "unknown"


def _signed(head: bytes) -> str:
    """Name a format by how files of it begin, "" where they do not tell.

    LightGBM writes lines, XGBoost JSON or UBJSON whose first name is "learner".
    """
    for sign, name in SIGNS.items():
        if head.startswith(sign):
            return name
    if re.match(rb"tree\r?\nversion=", head):
        return "lightgbm"
    learner = rb'\s*\{\s*"learner"\s*:|\{L\0{7}\x07learner\{|\s*\{\s*"version"\s*:\s*\['
    return "xgboost" if re.match(learner, head) else ""


def _at(file: BinaryIO, places: tuple[int, ...], sign: bytes) -> bool:
    """Tell whether a file holds a sign at one of some places."""
    for place in places:
        file.seek(place)
        if file.read(len(sign)) == sign:
            return True
    return False


def _pickle(file: BinaryIO, size: int, head: bytes) -> bool:
    """Tell whether a file begins like a pickle, the oldest protocols included."""
    if len(head) > 1 and head[0] == 0x80 and 1 <= head[1] <= 5:
        return True
    file.seek(0)
    words = file.read(1 << 16)
    stream = io.BytesIO(words)
    program = disassemble(stream, len(words), Log(FileLimits(opcodes=10_000)))
    if any(IDENTIFIER.fullmatch(name) for name in program.names):
        return True
    return not program.error and program.opcodes > 1


def _varint(file: BinaryIO) -> int | None:
    """Read a number of seven bits for each byte."""
    value = 0
    for shift in range(0, 64, 7):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    return None


def _onnx(file: BinaryIO, size: int) -> bool:
    """Tell whether a file begins with the fields of an ONNX model, a graph among them."""
    file.seek(0)
    seen: set[int] = set()
    for _ in range(64):
        tag = _varint(file)
        number, wire = ((tag or 0) >> 3, (tag or 0) & 7)
        if tag is None or not (1 <= number <= 30) or wire not in (0, 2):
            break
        value = _varint(file)
        expected = 0 if number in (1, 5) else 2
        if value is None or wire != expected:
            break
        seen.add(number)
        if wire == 2:
            file.seek(value, 1)
            if file.tell() > size:
                break
    return 1 in seen and bool(seen & {7, 8})


def kind_of_zip(members: Archive) -> str:
    """Say what a zip archive holds, by the names and contents of its members."""
    names = {name.casefold() for name in members.members}
    last = {name.rpartition("/")[2] for name in names}
    if {"archive_format", "serialized_exported_program.json"} & last or any(
        re.search(r"(^|/)models/[^/]*\.json$|data/aotinductor/", name) for name in names
    ):
        return "pt2"
    if "constants.pkl" in last or any(re.search(r"(^|/)code/.*\.py$", name) for name in names):
        return "torchscript"
    if any(re.search(r"(^|/)\.data/extern_modules$", name) for name in names):
        return "torch package"
    if {agents.DATA, agents.WEIGHTS} <= names:
        return "agent"
    if "data.pkl" in last:
        return "torch"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    return "keras archive" if {"config.json", "model.weights.h5"} <= last else "zip"


def holds_pickle(file: BinaryIO, size: int, kind: str) -> bool:
    """Tell whether a file of another kind is a program to whoever unpickles it.

    Real files of ONNX and HDF5 stop making sense as one at the first or second byte.
    """
    file.seek(0)
    program = disassemble(file, size, Log(FileLimits(opcodes=10_000)))
    named = any(IDENTIFIER.fullmatch(name) for name in program.names)
    if named or program.hidden or kind == "safetensors":  # its length may spell a harmless pickle
        return named or bool(program.hidden)
    return not program.error or program.opcodes > 1 or program.cut


def begins_late(file: BinaryIO) -> bool:
    """Tell whether a file of HDF5 begins with something else."""
    file.seek(0)
    return file.read(len(HDF5)) != HDF5


def two_at_once(file: BinaryIO, size: int) -> bool:
    """Tell whether a file that is no archive ends like one."""
    tail = min(size, 65_557)
    file.seek(size - tail)
    words = file.read(tail)
    place = words.rfind(END)
    if place < 0 or len(words) - place < 22:
        return False
    length, start, comment = struct.unpack("<IIH", words[place + 12 : place + 22])
    return bool(place + 22 + comment == len(words) and length > 0 and length + start <= size)
