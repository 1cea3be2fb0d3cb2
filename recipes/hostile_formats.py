"""Model files that are damaged, that promise more than they hold, or that lead elsewhere."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as as_safetensors

from hostile_good import (
    Sample,
    hdf5_bytes,
    members_of,
    npz_bytes,
    onnx_bytes,
    safetensors_bytes,
    torch_bytes,
    zipped,
)


def damaged(rng: np.random.Generator, good: list[Sample], cuts: int) -> Iterator[Sample]:
    """Good files cut off, with flipped bits, with bytes of chance in the middle, and prolonged."""
    for sample in good:
        words = sample.words
        for number in range(cuts):
            at = int(rng.integers(1, len(words)))
            yield Sample("cut off", f"{sample.kind} {number}", words[:at])
            flipped = bytearray(words)
            for place in rng.integers(0, len(words), 1 + 7 * (number % 2)):
                flipped[place] ^= 1 << int(rng.integers(8))
            yield Sample("flipped bits", f"{sample.kind} {number}", bytes(flipped))
            noise = rng.integers(0, 256, 64, dtype=np.uint8).tobytes()
            yield Sample("noise inside", f"{sample.kind} {number}", words[:at] + noise + words[at:])
        yield Sample("prolonged", sample.kind, words + b"\0" * 100)


def archives(good: dict[str, bytes]) -> Iterator[Sample]:
    """Bombs, paths out of the folder, doubles, links, encryption and lists that lie."""
    fine = members_of(good["torch"])
    bomb = zipped({**fine, "sd/data/99": b"\0" * (80 << 20)}, True)
    yield Sample("bomb", "zeros", bomb, must="danger")
    yield Sample("bomb", "npz", zipped({"a.npy": b"\0" * (70 << 20)}, True), must="danger")
    for name in ("../x", "/etc/x", "C:\\x", "a/../../x", "..\\x"):
        yield Sample("path", name, zipped({**fine, name: b"x"}), must="danger")
    held = io.BytesIO(good["torch"])
    with contextlib.suppress(UserWarning), zipfile.ZipFile(held, "a") as archive:
        archive.writestr(next(iter(fine)).upper(), b"x")
    yield Sample("double", "another case", held.getvalue(), must="danger")
    link = zipfile.ZipInfo("sd/link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    held = io.BytesIO(good["torch"])
    with zipfile.ZipFile(held, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    yield Sample("link", "symbolic", held.getvalue(), must="danger")
    coded = bytearray(good["npz"])
    coded[6] |= 1
    coded[coded.rfind(b"PK\x01\x02") + 8] |= 1
    yield Sample("encrypted", "flag", bytes(coded), must="danger")
    other = bytearray(good["torch"])
    other[30:32] = b"zz"  # the name in the first local header
    yield Sample("two names", "local header", bytes(other), must="danger")
    many = bytearray(zipped({"a": b""}))
    many[-12:-8] = b"\xff\xff\xff\xff"
    yield Sample("list", "absurd length", bytes(many))
    yield Sample("nested", "zip in zip", zipped({"a.zip": bomb}))
    yield Sample("two formats", "pickle and zip", pickle.dumps([1]) + good["torch"], must="danger")
    start = good["safetensors"]
    yield Sample("two formats", "safetensors and zip", start + good["torch"], must="danger")


def tensors(rng: np.random.Generator) -> Iterator[Sample]:
    """Headers that promise more than the file holds, unknown types, and weights that are NaN."""
    data = rng.normal(size=4).astype("f4").tobytes()
    plain = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    headers: dict[str, Any] = {
        "outside": {"a": {**plain, "data_offsets": [0, 1 << 40], "shape": [1 << 38]}},
        "overlap": {"a": plain, "b": plain},
        "negative": {"a": {**plain, "data_offsets": [-16, 0]}},
        "absurd shape": {"a": {**plain, "shape": [1 << 62, 1 << 62]}},
        "zero axis": {"a": {**plain, "shape": [0, 1 << 62]}},
        "type": {"a": {**plain, "dtype": "F33"}},
        "type object": {"a": {**plain, "dtype": {"x": 1}}},
        "boolean size": {"a": {**plain, "shape": [True, 4]}},
        "no shape": {"a": {"dtype": "F32"}},
        "words": {"a": "b"},
        "list": [1, 2],
        "hole": {"a": {**plain, "shape": [2], "data_offsets": [8, 16]}},
        "metadata": {"__metadata__": {"a": 1}, "a": plain},
        "deep": b"[" * 100_000,
        "deep object": b'{"a":' * 50_000,
        "no words": b"{" + b"\xff" * 50,
        "double": b'{"a":'
        + json.dumps(plain).encode()
        + b',"a":'
        + json.dumps(plain).encode()
        + b"}",
    }
    for name, header in headers.items():
        must = "" if name in ("list", "deep") else "flagged"  # these do not begin like safetensors
        yield Sample("safetensors header", name, safetensors_bytes(header, data), must=must)
    for length in (1 << 20, 1 << 40, (1 << 64) - 1):
        yield Sample(
            "huge header",
            str(length),
            safetensors_bytes({"a": plain}, data, length),
            must="flagged",
        )
    bad = torch.tensor([0.0, float("nan"), float("inf"), 1.0])
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        value = {"w": bad.to(kind)}
        yield Sample("NaN", f"safetensors {kind}", as_safetensors(value), must="flagged")
        yield Sample("NaN", f"torch {kind}", torch_bytes(value), must="flagged")
        old = torch_bytes(value, _use_new_zipfile_serialization=False)
        yield Sample("NaN", f"old torch {kind}", old, must="flagged")
        if kind != torch.bfloat16:
            yield Sample("NaN", f"npz {kind}", npz_bytes({"w": value["w"].numpy()}), must="flagged")
            yield Sample(
                "NaN", f"hdf5 {kind}", hdf5_bytes({"w": value["w"].numpy()}), must="flagged"
            )
    objects = np.array([{}, []], object)
    yield Sample("npz", "objects", npz_bytes({"a": objects}), must="danger")
    array = members_of(npz_bytes({"a": np.zeros(4)}))["a.npy"]
    for old_words, new in (
        (b"(4,)", b"(9,)"),
        (b"<f8", b"|O "),
        (b"False", b"os.x "),
        (b"(4,)", b"(-4)"),
    ):
        yield Sample(
            "npz", f"{new!r}", zipped({"a.npy": array.replace(old_words, new)}), must="flagged"
        )


def graphs(rng: np.random.Generator) -> Iterator[Sample]:
    """ONNX and HDF5 files that need other code or other files, or promise too much."""
    for domain in ("evil.ops", "com.example", "ai.onnx.contrib"):
        yield Sample("onnx operator", domain, onnx_bytes(rng, domain), must="danger")
    for place in ("../../secret", "/etc/passwd", "a/../../b", "C:\\x", "missing.bin", ""):
        yield Sample("onnx beside", place, onnx_bytes(rng, location=place), must="flagged")
    for dims in ([1 << 40, 1 << 20], [-4, 3], [4, 4], [1 << 62] * 70):
        yield Sample("onnx shape", f"{dims[:2]}", onnx_bytes(rng, dims=dims), must="danger")
    yield Sample("onnx type", "99", onnx_bytes(rng, data_type=99), must="flagged")
    bad = np.array([np.nan] * 12, "f4").tobytes()
    yield Sample("NaN", "onnx", onnx_bytes(rng, raw_data=bad), must="flagged")
    yield Sample(
        "hdf5",
        "lambda",
        hdf5_bytes({"w": np.zeros(2)}, model_config='{"class_name": "Lambda"}'),
        must="danger",
    )
    import h5py

    for name in ("external link", "external storage", "virtual", "absurd shape"):
        held = io.BytesIO()
        with h5py.File(held, "w") as file:
            if name == "external link":
                file["a"] = h5py.ExternalLink("/etc/passwd", "/x")
            elif name == "external storage":
                file.create_dataset("a", (4,), "f4", external=[("/etc/passwd", 0, 16)])
            elif name == "virtual":
                layout = h5py.VirtualLayout((4,), "f4")
                layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
                file.create_virtual_dataset("a", layout)
            else:
                file.create_dataset("a", (1 << 40,), "f4", chunks=(1024,))
        yield Sample("hdf5", name, held.getvalue(), must="danger")
