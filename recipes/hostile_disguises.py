"""Model files that one reader takes for tensors and another for a program that makes a marker."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np

from hostile_code import reducers
from hostile_good import Sample


def disguised(marker: str) -> Iterator[Sample]:
    """HDF5 and ONNX that are a pickle as well, and pickles whose objects hold each other."""
    for name, program in reducers(marker).items():
        if name != "extension":  # which is no call, and may be anything
            yield Sample("hdf5 behind a pickle", name, behind_hdf5(program), must="danger")
            yield Sample("onnx that is a pickle", name, as_graph(program), must="danger")
    yield Sample("hdf5 behind words", "words", behind_hdf5(b"words"), must="danger")
    for levels in (60, 200):
        yield Sample("tuples that hold each other", f"{levels}", nested(levels))


def behind_hdf5(program: bytes) -> bytes:
    """An HDF5 file with a program in the space that users may fill."""
    import h5py

    held, size = io.BytesIO(), 512
    while size < len(program):
        size *= 2
    with h5py.File(held, "w", userblock_size=size) as file:
        file["a"] = np.ones(2, np.float32)
    return program + held.getvalue()[len(program) :]


def as_graph(program: bytes) -> bytes:
    """A graph of ONNX to one reader; to another a mark, bytes to skip, and the program."""
    import onnx

    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [], [])
    made = onnx.helper.make_model(graph, ir_version=10)
    made.ClearField("opset_import")
    real = made.SerializeToString()
    head, skipped = b"(B\x08\x08\x28\0", 0x280808
    words = bytes(
        [0x32, *(0x80 | skipped >> 7 * place & 0x7F for place in range(3)), skipped >> 21]
    )
    before = b"x" * (skipped - len(real) - len(words))
    return head + real + words + before + program + b"x" * (skipped - len(before) - len(program))


def nested(levels: int) -> bytes:
    """A tuple of two of a tuple of two, and so on: who walks both at each level never ends."""
    steps = b"".join(b"r" + n.to_bytes(4, "little") + 2 * (b"j" + n.to_bytes(4, "little")) + b"\x87"
                     for n in range(levels))  # fmt: skip
    return b"c__builtin__\nbytearray\n" + b"K\x02" + steps + b"\x85R."
