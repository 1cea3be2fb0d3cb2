"""Weights in HDF5 files, read inside a limited process: data sets alone, never a model's code."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from mithridate.artifacts.findings import FileLimits, Log
from mithridate.artifacts.values import BITS, count_elements, nonfinite, report_nonfinite

MOST = 100_000
"""Things in a file that are looked at."""

DEEPEST = 50
STEP = 1 << 18


def prepare() -> None:
    """Import what is needed, down to what only the first use imports."""
    import io

    import h5py
    from safetensors.numpy import save

    held = io.BytesIO()
    with h5py.File(held, "w") as opened:
        opened["warm"] = np.zeros(1)
        # Keras writes words and bytes; reading bytes imports a codec, which the limits forbid later
        for name, words in {"words": "é", "bytes": b"bytes", "void": np.void(b"x")}.items():
            opened.attrs[name] = words
        opened.attrs.create("fixed", b"bytes", dtype="S5")
        opened.attrs.create("list", [b"a", b"b"])
        opened.attrs.create("ascii", "ascii", dtype=h5py.string_dtype("ascii"))
    with h5py.File(held, "r") as opened:
        save({name: data[()] for name, data in _walk(opened, Log())})
        for name in opened.attrs:
            str(opened.attrs[name])
    for codec in ("ascii", "latin-1", "utf-8", "utf-16", "utf-32", "idna"):
        codecs.lookup(codec)


def look(file: BinaryIO) -> bytes:
    """Walk through a file and give findings as JSON."""
    import h5py

    log = Log(FileLimits())
    size = file.seek(0, 2)
    try:
        with h5py.File(file, "r") as opened:
            _attributes(opened, log)
            for name, data in _walk(opened, log):
                _data(name, data, size, log)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, SystemError) as error:
        log.warning(f"the file is broken: {str(error)[:100]}")
    findings = [asdict(finding) for finding in log.ended()]
    return json.dumps({"findings": findings}).encode()


def _attributes(opened: Any, log: Log) -> None:
    """Look for a model beside the weights, which Keras would build, code of layers included."""
    config = opened.attrs.get("model_config")
    if config is None:
        return
    words = bytes(config) if isinstance(config, bytes) else str(config).encode("utf-8", "replace")
    if b"Lambda" in words or b"__lambda__" in words or b"function_type" in words:
        log.danger(
            "the model holds a Lambda layer: Keras would run its code", "model_config",
            "take the weights alone",
        )  # fmt: skip
    else:
        log.note("the file describes a model, too; only its weights are read", "model_config")


def _walk(opened: Any, log: Log) -> Iterator[tuple[str, Any]]:
    """Give every data set once, and follow no link out of the file."""
    import h5py

    queue: list[tuple[str, Any, int]] = [("", opened, 0)]
    seen: set[Any] = set()
    while queue:
        path, group, depth = queue.pop()
        for name in group:
            if len(seen) > MOST or depth > DEEPEST:
                log.unknown(f"more than {MOST:,} things, or {DEEPEST} levels, are not looked at")
                return
            place = f"{path}/{name}"
            if not _stays(group.get(name, getlink=True), place, log):
                continue
            held = group[name]
            if held.id in seen:
                continue
            seen.add(held.id)
            if isinstance(held, h5py.Group):
                queue.append((place, held, depth + 1))
            elif isinstance(held, h5py.Dataset):
                yield place, held


def _stays(link: Any, place: str, log: Log) -> bool:
    """Tell whether a link is to be followed: only those that own what they name."""
    import h5py

    if isinstance(link, h5py.ExternalLink):
        log.danger("a link leads to another file", place)
    elif isinstance(link, h5py.SoftLink):
        log.note("a soft link is not followed", place)
    return isinstance(link, h5py.HardLink)


def _data(name: str, data: Any, size: int, log: Log) -> None:
    """Compare one data set with the file, and read it in pieces."""
    if data.external or data.is_virtual:
        log.danger("the values lie in other files", name)
        return
    kind = _kind(data)
    if data.shape is None or not kind:
        if data.dtype.kind in "SOU":
            log.unknown("words and objects are not looked at", name)
        else:
            log.warning(f"its type {data.dtype} is no number", name)
        return
    count = count_elements(data.shape, name, log)
    if count is None:
        return
    if count * data.dtype.itemsize > 1_000 * size + (1 << 20):
        log.danger(f"the shape needs {count * data.dtype.itemsize:,} bytes of {size:,}", name)
    elif kind in BITS and count:
        report_nonfinite(sum(_bad(data, kind)), name, log)


def _kind(data: Any) -> str:
    """Name the type of numbers, "" where there are none.

    HDF5 has no bfloat16: Keras keeps it as two bytes of no meaning, and says so in an attribute
    where it writes weights alone.
    """
    if data.dtype.kind in "fiubc":
        return str(data.dtype.name)
    said = str(data.attrs.get("dtype", "bfloat16"))
    return "bfloat16" if data.dtype == np.dtype("V2") and said == "bfloat16" else ""


def _bad(data: Any, kind: str) -> Iterator[int]:
    """Count what is not finite, so many elements at a time."""
    if not data.shape:
        yield nonfinite([_little(np.asarray(data[()]))], kind)
        return
    inner = int(np.prod(data.shape[1:], dtype=object))
    rows = max(1, STEP // max(1, inner))
    for start in range(0, data.shape[0], rows):
        yield nonfinite([_little(data[start : start + rows])], kind)


def _little(piece: Any) -> bytes:
    """The bytes of numbers, the lowest first."""
    if piece.dtype.kind == "V":
        return bytes(piece.tobytes())
    return bytes(piece.astype(piece.dtype.newbyteorder("<")).tobytes())


def weights(file: BinaryIO) -> bytes:
    """Give the data sets with numbers by their path, as safetensors."""
    import h5py
    from safetensors.numpy import save

    log = Log()
    with h5py.File(file, "r") as opened:
        arrays = {
            name.removeprefix("/"): _array(data)
            for name, data in _walk(opened, log)
            if data.shape is not None and data.dtype.kind != "c" and _kind(data)
        }
    if log.counts["unknown"]:
        raise ValueError(log.findings[-1].what)
    return save(arrays)


def _array(data: Any) -> Any:
    """Give the numbers; bfloat16 as the float32 that has its bits at the top, which is the same."""
    held = np.array(data[()], order="C")
    if held.dtype.kind != "V":
        return held
    high = held.view("<u2").astype("<u4") << 16
    return high.view("<f4").reshape(held.shape)
