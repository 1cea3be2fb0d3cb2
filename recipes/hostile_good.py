"""Small model files of every format, as their own libraries write them and nearly so."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as as_safetensors
from torch import nn

from mithridate.core.streams import seed_torch


@dataclass(frozen=True)
class Sample:
    """A file to scan; good: whether it must be free of danger; must: an answer it has to get.

    code: whether a program is expected, so that what else is wrong with one is seen.
    """

    kind: str
    name: str
    words: bytes
    good: bool = False
    must: str = ""
    code: bool = True


def network(rng: np.random.Generator, width: int = 5) -> nn.Sequential:
    """A small network with linear, convolutional and normalising layers."""
    with seed_torch(rng):
        return nn.Sequential(
            nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(),
            nn.Linear(4 * width, 3),
        ).eval()  # fmt: skip


def torch_bytes(value: Any, **options: Any) -> bytes:
    """What torch.save writes."""
    held = io.BytesIO()
    torch.save(value, held, **options)
    return held.getvalue()


def zipped(members: dict[str, bytes], packed: bool = False) -> bytes:
    """An archive of members."""
    held = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, words in members.items():
            archive.writestr(zipfile.ZipInfo(name), words, method)
    return held.getvalue()


def members_of(words: bytes) -> dict[str, bytes]:
    """The members of an archive."""
    with zipfile.ZipFile(io.BytesIO(words)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def exported_bytes(model: nn.Module) -> bytes:
    """What torch.export.save writes for a model whose batch may have any size."""
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(model, (torch.zeros(4, 1, 4, 4),), dynamic_shapes=({0: batch},))
    held = io.BytesIO()
    torch.export.save(program, held)
    return held.getvalue()


def scripted_bytes(model: nn.Module) -> bytes:
    """What torch.jit.save writes."""
    held = io.BytesIO()
    torch.jit.save(torch.jit.trace(model, torch.zeros(2, 1, 4, 4)), held)
    return held.getvalue()


def onnx_bytes(rng: np.random.Generator, domain: str = "", **tensor: Any) -> bytes:
    """A graph of one matrix product; tensor: fields of its weights that are set otherwise."""
    import onnx
    from onnx import TensorProto, helper

    weights = helper.make_tensor(
        "w", TensorProto.FLOAT, (4, 3), rng.normal(size=12).astype("f4").tobytes(), raw=True
    )
    location = tensor.pop("location", None)
    if location is not None:
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        weights.external_data.add(key="location", value=location)
    for name, value in tensor.items():
        if isinstance(value, list):
            weights.ClearField(name)
            getattr(weights, name).extend(value)
        else:
            setattr(weights, name, value)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], domain=domain)
    graph = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("b", 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("b", 3))], [weights],
    )  # fmt: skip
    wanted = [helper.make_opsetid("", 17)] + [helper.make_opsetid(d, 1) for d in [domain] if d]
    return bytes(
        helper.make_model(graph, opset_imports=wanted, ir_version=onnx.IR_VERSION)
        .SerializeToString()
    )  # fmt: skip


def hdf5_bytes(tensors: dict[str, Any], **attributes: str) -> bytes:
    """An HDF5 file of arrays."""
    import h5py

    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        for name, value in tensors.items():
            file[name] = value
        for name, words in attributes.items():
            file.attrs[name] = words
    return held.getvalue()


def npz_bytes(arrays: dict[str, Any], packed: bool = False) -> bytes:
    """What NumPy writes."""
    held = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(held, **arrays)
    return held.getvalue()


def safetensors_bytes(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A header, true or not, and data."""
    words = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(words) if length is None else length) + words + data


def torch_zip(words: bytes) -> bytes:
    """A torch archive whose program is given."""
    return zipped({"a/data.pkl": words, "a/version": b"3\n"})


def good_files(rng: np.random.Generator, rounds: int) -> Iterator[Sample]:
    """Files of every format as their own libraries write them."""
    for number in range(rounds):
        model = network(rng, 3 + number)
        tensors = {k: v.contiguous() for k, v in model.state_dict().items()}
        arrays = {k.replace(".", "/"): v.numpy() for k, v in tensors.items()}
        made = {
            "safetensors": as_safetensors(tensors, {"note": "<b>bold</b>"}),
            "torch": torch_bytes(tensors),
            "torch checkpoint": torch_bytes({"state_dict": tensors, "epoch": 3, "lr": 0.1}),
            "torch legacy": torch_bytes(tensors, _use_new_zipfile_serialization=False),
            "plain pickle": pickle.dumps({"a": [1, 2, (3.0, "x")]}, protocol=number % 6),
            "npz": npz_bytes(arrays, packed=bool(number % 2)),
            "hdf5": hdf5_bytes(arrays, model_config='{"class_name": "Sequential"}'),
            "onnx": onnx_bytes(rng),
            "pt2": exported_bytes(model),
        }
        for kind, words in made.items():
            yield Sample(f"good {kind}", f"{number}", words, good=True)
