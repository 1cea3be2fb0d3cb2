"""ONNX files, read inside a limited process: operators, shapes, weights, and files beside them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mithridate.artifacts.findings import FileLimits, Log
from mithridate.artifacts.tensor_files import pieces
from mithridate.artifacts.values import count_elements, nonfinite, report_nonfinite

STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "ai.onnx.preview.training"})
KNOWN = frozenset({"com.microsoft", "com.microsoft.nchwc", "com.ms.internal.nhwc"})
FUSED = frozenset({"com.microsoft.nchwc", "com.ms.internal.nhwc"})
ELEMENTS = {
    1: ("float32", 4), 2: ("uint8", 1), 3: ("int8", 1), 4: ("uint16", 2), 5: ("int16", 2),
    6: ("int32", 4), 7: ("int64", 8), 9: ("bool", 1), 10: ("float16", 2), 11: ("float64", 8),
    12: ("uint32", 4), 13: ("uint64", 8), 14: ("complex64", 8), 15: ("complex128", 16),
    16: ("bfloat16", 2), 17: ("float8_e4m3", 1), 18: ("float8_e4m3", 1), 19: ("float8_e5m2", 1),
    20: ("float8_e5m2", 1), 21: ("uint4", 0.5), 22: ("int4", 0.5), 23: ("float4", 0.5),
}  # fmt: skip
"""Our name and the bytes of each element type; strings (8) lie elsewhere."""

STEP = 1 << 20


def prepare() -> None:
    """Import what is needed."""
    import onnx

    onnx.ModelProto().SerializeToString()


def look(file: BinaryIO) -> bytes:
    """Parse a file and give findings as JSON, with the files that it asks for beside it."""
    import onnx

    log = Log(FileLimits())
    beside: list[dict[str, str]] = []
    model = onnx.ModelProto()
    try:
        model.ParseFromString(file.read())
    except Exception as error:  # the parser has an exception of its own in each version
        log.warning(f"the graph is broken: {str(error)[:100]}")
        return _written(log, beside)
    _domains(model, log)
    for graph in _graphs(model):
        for node in getattr(graph, "node", ()):
            _operator(node, model, log)
        for tensor in _tensors(graph, log):
            _tensor(tensor, log, beside)
    if not model.HasField("graph") or not model.graph.node:
        log.warning("the file holds no graph")
    return _written(log, beside)


def _written(log: Log, beside: list[dict[str, str]]) -> bytes:
    findings = [asdict(finding) for finding in log.ended()]
    return json.dumps({"findings": findings, "beside": beside[:10_000]}).encode()


def _domains(model: Any, log: Log) -> None:
    """Look at the sets of operators that the graph asks for."""
    own = {function.domain for function in model.functions}
    for domain in {imported.domain for imported in model.opset_import} - STANDARD - own:
        if domain not in KNOWN:
            log.note(f"the graph declares operators of {domain!r}")


def _operator(node: Any, model: Any, log: Log) -> None:
    """Look at one operator."""
    own = {(function.domain, function.name) for function in model.functions}
    if node.domain in STANDARD and node.op_type in ("Loop", "Scan", "SequenceMap"):
        log.warning(f"the graph holds a {node.op_type}, with which it may never end", node.name,
                    "ask for the network without control flow")  # fmt: skip
    if node.domain in STANDARD or (node.domain, node.op_type) in own:
        return
    name = f"{node.domain}.{node.op_type}"
    if node.op_type in ("PyOp", "PyCustomOpDef", "PythonOp", "ATen") or node.domain in FUSED:
        log.danger("the graph calls an operator that runs other code", name)
    elif node.domain in KNOWN:
        log.note(f"the graph uses {name}, an operator of ONNX Runtime alone")
    else:
        log.danger(
            "the graph needs an operator from a library of its own", name,
            "load no library for it that you do not trust",
        )  # fmt: skip


def _graphs(model: Any) -> Iterator[Any]:
    """Every graph and function of a model, those within operators included."""
    queue = [model.graph, *model.functions]
    queue += [t.initialization for t in model.training_info]
    queue += [t.algorithm for t in model.training_info]
    while queue:
        graph = queue.pop()
        yield graph
        for attribute in _attributes(graph):
            queue += [attribute.g] if attribute.HasField("g") else []
            queue += attribute.graphs


def _attributes(graph: Any) -> Iterator[Any]:
    """The attributes of a graph's nodes, and what a function takes where none is given."""
    yield from getattr(graph, "attribute_proto", ())
    for node in graph.node:
        yield from node.attribute


def _tensors(graph: Any, log: Log) -> Iterator[Any]:
    """Every tensor of a graph: weights, sparse weights and constants."""
    yield from getattr(graph, "initializer", ())
    sparse = list(getattr(graph, "sparse_initializer", ()))
    for attribute in _attributes(graph):
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        sparse += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        sparse += attribute.sparse_tensors
    for each in sparse:
        yield each.values
        yield each.indices
        count_elements([int(axis) for axis in each.dims], each.values.name, log)


def _tensor(tensor: Any, log: Log, beside: list[dict[str, str]]) -> None:
    """Compare the shape of a tensor with its values."""
    name = tensor.name or "a constant"
    count = count_elements([int(axis) for axis in tensor.dims], name, log)
    if count is None or tensor.data_type == 8:
        return
    if tensor.data_location == 1 or len(tensor.external_data):
        told_of = {entry.key: entry.value for entry in tensor.external_data}
        each = str(ELEMENTS.get(tensor.data_type, ("", 0))[1])
        kind = str(ELEMENTS.get(tensor.data_type, ("", 0))[0])
        more = {"name": name, "elements": str(count), "width": each, "kind": kind}
        beside.append({**told_of, **more})
        return
    if tensor.data_type not in ELEMENTS:
        log.warning(f"the type {tensor.data_type} is unknown", name)
        return
    kind, width = ELEMENTS[tensor.data_type]
    typed = max(len(getattr(tensor, f"{field}_data")) for field in
                ("float", "int32", "int64", "double", "uint64"))  # fmt: skip
    held = len(tensor.raw_data) if tensor.HasField("raw_data") else -1
    needed = -(-count * int(2 * width) // 2)
    if (held >= 0 and held != needed) or (held < 0 and typed not in _lengths(count, kind)):
        held_there = f"{held:,} bytes" if held >= 0 else f"{typed:,} values"
        log.danger(f"the shape needs {count:,} values, found {held_there}", name)
        return
    raw = tensor.raw_data if held >= 0 else b""
    bad = nonfinite((raw[i : i + STEP] for i in range(0, len(raw), STEP)), kind)
    for field in ("float_data", "double_data"):
        given = getattr(tensor, field)
        bad += sum(
            int((~np.isfinite(given[i : i + STEP])).sum()) for i in range(0, len(given), STEP)
        )
    report_nonfinite(bad, name, log)


def _lengths(count: int, kind: str) -> tuple[int, ...]:
    """Numbers of typed values that hold so many elements: complex ones two, small ones packed."""
    if kind.startswith("complex"):
        return (2 * count,)
    return (count, -(-count // 2)) if kind in ("uint4", "int4", "float4") else (count,)


def judge_beside(beside: list[dict[str, str]], folder: Path, log: Log) -> None:
    """Look, outside of the limited process, at the files beside a graph.

    Their values are read as numbers where a file lies in the same folder and is no link.
    """
    left = log.limits.graph
    for entry in beside:
        where = entry.get("location", "")
        name = entry.get("name", "")
        if not where or re.match(r"[A-Za-z]:|[/\\]", where) or ".." in re.split(r"[/\\]", where):
            log.danger(f"its values lie in {where[:100]!r}, outside of the folder", name)
            continue
        try:
            place = (folder / where).resolve()
            inside = place.is_relative_to(folder.resolve())
            size = place.stat().st_size if place.is_file() else None
        except (OSError, ValueError, RuntimeError):
            inside, size = True, None
        if not inside:
            log.danger(f"its values lie in {where[:100]!r}, a link out of the folder", name)
        elif size is None:
            log.warning(f"the file {where[:100]!r} with its values is missing", name)
        else:
            span = _range(entry, size, name, log)
            plain = Path(where).name == where and not (folder / where).is_symlink()
            if span is None:
                continue
            if not plain or span[1] > left:
                log.unknown("the values of weights beside the graph were not read: a link, another "
                            "folder, or too many bytes")  # fmt: skip
                continue
            left -= span[1]
            _values(folder / where, span, entry.get("kind", ""), name, log)


def _values(place: Path, span: tuple[int, int], kind: str, name: str, log: Log) -> None:
    """Look for values that are not finite in a range of a file beside a graph."""
    try:
        opened = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
        with os.fdopen(opened, "rb") as file:
            report_nonfinite(nonfinite(pieces(file, *span), kind), name, log)
    except OSError as error:
        log.unknown(f"the values of weights beside the graph cannot be read: {error.strerror}")


def _range(
    entry: dict[str, str], size: int, name: str, log: Log
) -> tuple[int, int] | None:  # fmt: skip
    """Compare the range that is asked for with the file that holds it; give where it begins.

    The second number is the bytes of it; None where something is wrong with it.
    """
    try:
        start, needed = (
            int(entry.get("offset", "0")),
            float(entry["width"]) * int(entry["elements"]),
        )
        length = int(entry.get("length", str(int(needed))))
    except (ValueError, OverflowError):
        log.warning("the place of its values is no number", name)
        return None
    if start < 0 or length < 0 or start + max(length, needed) > size:
        log.danger(f"its values are said to end after the {size:,} bytes of their file", name)
        return None
    return start, int(needed)
