"""Files opened with care: what is known to harm the reader is refused before anything runs.

The parser, the checker and ONNX Runtime are run by whoever reads a file, in the same process: their
input is bounded in size, and their time is not. `inspected` reads files in a process with limits.
`dangers` is for whoever only inspects a file; `read` refuses what it names.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mithridate.core.errors import DataError, UnsafeData
from mithridate.core.extras import import_extra

LIMIT = 2**30
"""Bytes of a file together with the files it refers to."""
ELEMENTS = 2**28
"""Elements of one tensor, for a batch of one."""
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""Operators that ONNX Runtime brings along; any other needs code that somebody hands over."""
BRANCHING = ("If", "Loop", "Scan", "SequenceMap")
"""Operators that run an inner graph, a Loop as often as the file says."""
NODES = 100_000
"""Nodes after functions were put in their places."""


def library(name: str) -> Any:
    """Import a package of the extra, or raise MissingExtra."""
    return import_extra(
        name,
        f"ONNX files need the package {name.partition('.')[0]!r}; install it with: "
        "pip install 'mithridate[onnx]'",
    )


def read(path: Path | str, limit: int = LIMIT) -> Any:
    """Read a model, `onnx.ModelProto`, with tensors from other files put into it.

    Missing packages raise MissingExtra.

    Args:
        limit: bytes that the file may have together with those it refers to.

    Raises:
        DataError: where there is no valid model.
        UnsafeData: where the file is too large, refers to files outside of its folder, needs
            operators of somebody's own or control flow, or declares tensors of more than `ELEMENTS`
            elements.
    """
    onnx, path = library("onnx"), Path(path)
    if not path.is_file():
        raise DataError(f"expected an ONNX file, found nothing at {str(path)!r}")
    if path.stat().st_size > limit:
        raise UnsafeData(
            f"{path.name!r}: expected at most {limit} bytes, found {path.stat().st_size}; give a "
            "larger limit if that is meant"
        )
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except Exception as error:  # parsers of hostile bytes raise anything
        raise _broken(path, error) from None
    dangers_in_graph = dangers(model, path.parent, limit - path.stat().st_size)
    if dangers_in_graph:
        raise UnsafeData(f"{path.name!r}: {dangers_in_graph[0]}")
    try:
        inferred = _complete(onnx, model, path.parent)
    except Exception as error:
        raise _broken(path, error) from None
    for name, shape in _shapes(inferred.graph):
        if math.prod(shape) > ELEMENTS:
            raise UnsafeData(f"{path.name!r}: {_large(name, shape)}")
    return model


def _complete(onnx: Any, model: Any, folder: Path) -> Any:
    """Put tensors from other files into a model, its nodes in order; gives it with all shapes."""
    onnx.external_data_helper.load_external_data_for_model(model, str(folder))
    if any(tensor.data_location == 1 for tensor in tensors(model)):
        # ONNX Runtime would look for them in the folder of the process
        raise ValueError("weights that no reader of ONNX looks for in another file")
    in_order(model.graph)
    onnx.checker.check_model(model)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def in_order(graph: Any) -> None:
    """Put every node of a graph behind those whose outputs it takes, as the standard demands.

    Converters append nodes where they please, and runtimes sort them. Where there is a circle the
    nodes stay as they are, and the checker says so.
    """
    left = list(graph.node)
    ready = _sorted_nodes(left)
    if len(ready) == len(left) and ready != left:
        copies = [type(node).FromString(node.SerializeToString()) for node in ready]
        del graph.node[:]
        graph.node.extend(copies)


def _sorted_nodes(left: list[Any]) -> list[Any]:
    """Give nodes behind those whose outputs they take; what is in a circle is left out."""
    waiting = {name for node in left for name in node.output if name}
    ready: list[Any] = []
    takers: dict[str, list[int]] = {}
    lacking = [{n for n in node.input if n in waiting} for node in left]
    for place, names in enumerate(lacking):
        for name in names:
            takers.setdefault(name, []).append(place)
    heap = [place for place, names in enumerate(lacking) if not names]
    heapq.heapify(heap)
    while heap:
        node = left[heapq.heappop(heap)]
        ready.append(node)
        for name in node.output:
            for place in takers.pop(name, []):
                lacking[place].discard(name)
                if not lacking[place]:
                    heapq.heappush(heap, place)
    return ready


def _broken(path: Path, error: Exception) -> DataError:
    reason = str(error).strip().partition("\n")[0][:200]
    return DataError(
        f"{path.name!r}: expected a valid ONNX model, found a broken one ({reason}); export or "
        "download it again"
    )


def dangers(model: Any, folder: Path, limit: int = LIMIT) -> list[str]:
    """Say what makes a model unsafe to read or run; nothing is opened and nothing runs.

    Args:
        folder: where the file lies.
        limit: bytes that all files it refers to may have together.
    """
    sentences = _foreign(model) + _branching(model) + _outside(model, folder, limit)
    sentences += [_large(t.name, list(t.dims)) for t in tensors(model) if _elements(t) > ELEMENTS]
    count = _count_unfolded(model)
    if count > NODES:
        sentences.append(
            f"expected at most {NODES} nodes after functions are put in place, found more"
        )
    return sentences


def _large(name: str, shape: list[int]) -> str:
    return f"expected at most {ELEMENTS} elements in {name!r}, it declares the shape {shape}"


def _elements(tensor: Any) -> int:
    dims = list(tensor.dims)
    return ELEMENTS + 1 if min(dims, default=0) < 0 else math.prod(dims)


def nodes(model: Any) -> Iterator[Any]:
    """Every node of a model, those of inner graphs and functions included."""
    waiting = [model.graph, *model.functions]
    while waiting:
        holder = waiting.pop()
        given = list(getattr(holder, "attribute_proto", ()))
        for node in holder.node:
            yield node
            given += node.attribute
        for attribute in given:
            waiting += _inner(attribute)


def _attributes(model: Any) -> Iterator[Any]:
    """Every attribute of a model's nodes, and what functions take where none is given."""
    for function in model.functions:
        yield from function.attribute_proto
    for node in nodes(model):
        yield from node.attribute


def _inner(attribute: Any) -> list[Any]:
    """The graphs that an attribute holds."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def tensors(model: Any) -> Iterator[Any]:
    """Every tensor that is kept in a model, wherever it stands."""
    graphs, rare = [model.graph], []
    for attribute in _attributes(model):
        graphs += _inner(attribute)
        yield from [attribute.t] if attribute.HasField("t") else []
        yield from attribute.tensors
        rare += [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        rare += attribute.sparse_tensors
    for graph in graphs:
        yield from graph.initializer
        rare += graph.sparse_initializer
    for sparse in rare:
        yield from (sparse.values, sparse.indices)


def _foreign(model: Any) -> list[str]:
    """Operators that neither ONNX Runtime nor the file itself defines."""
    own = {(function.domain, function.name) for function in model.functions}
    named = {(node.domain, node.op_type) for node in nodes(model)} - own
    names = sorted(f"{domain}.{name}" for domain, name in named if domain not in DOMAINS)
    if not names:
        return []
    return [
        f"expected the operators of ONNX, found others, which need somebody's code: "
        f"{', '.join(names)[:300]}"
    ]


def _branching(model: Any) -> list[str]:
    """Operators with which a file may never answer, and which no ordinary classifier has."""
    names = sorted(
        {
            node.op_type
            for node in nodes(model)
            if node.op_type in BRANCHING or any(map(_inner, node.attribute))
        }
    )
    if not names:
        return []
    return [
        f"expected operators that run once each, found {', '.join(names)}, with which a file may "
        "never answer; export the network without control flow"
    ]


def _outside(model: Any, folder: Path, limit: int) -> list[str]:
    """References to files that are not regular ones of the folder, or that are too large."""
    sentences, total, root = [], 0, folder.resolve()
    for tensor in tensors(model):
        if not (tensor.external_data or tensor.data_location == 1):
            continue
        fields = {entry.key: entry.value for entry in tensor.external_data}
        location = fields.get("location", "")
        place = folder / location
        whole = location and "\0" not in location and "\\" not in location
        inside = whole and not Path(location).is_absolute() and _stays_within(place, root)
        if not inside or not place.is_file():
            sentences.append(
                f"expected the data of {tensor.name!r} in a file of the same folder, found "
                f"{location[:200]!r}"
            )
            continue
        numbers = [fields.get(key, "0") for key in ("offset", "length")]
        if not all(number.isascii() and number.isdigit() for number in numbers):
            sentences.append(f"the place of {tensor.name!r} in {location!r} is no number")
            continue
        size, (offset, length) = place.stat().st_size, map(int, numbers)
        total += length or max(0, size - offset)
        if offset + length > size:
            sentences.append(f"{location!r} ends before the data of {tensor.name!r}")
    if total > limit:
        sentences.append(f"expected at most {limit} bytes in other files, found {total}")
    return sentences


def _stays_within(place: Path, root: Path) -> bool:
    """Whether a path, links followed, stays in a folder."""
    try:
        return place.resolve().is_relative_to(root) and not place.is_symlink()
    except (OSError, ValueError, RuntimeError):
        return False


def _shapes(graph: Any) -> Iterator[tuple[str, list[int]]]:
    """What is known of the shapes of a graph's values, unknown lengths taken as one."""
    for value in [*graph.input, *graph.value_info, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        yield value.name, [max(1, dim.dim_value) for dim in dims]


def _count_unfolded(model: Any) -> int:
    """Nodes after every function is put where it is called; NODES + 1 where that has no end."""
    own = {(function.domain, function.name): function for function in model.functions}
    known: dict[tuple[str, str], int] = {}

    def size(name: tuple[str, str], above: frozenset[tuple[str, str]]) -> int:
        if name not in own:
            return 1
        if name in above or len(above) > 100:
            return NODES + 1
        if name not in known:
            inner = ((node.domain, node.op_type) for node in own[name].node)
            known[name] = min(NODES + 1, sum(size(each, above | {name}) for each in inner))
        return known[name]

    return sum(size((node.domain, node.op_type), frozenset()) for node in nodes(model))
