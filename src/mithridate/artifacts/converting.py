"""What is done with files that hold programs, inside a limited process: weights come out alone.

An exported program is never loaded: its weights lie beside the program, and are read from there.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any, BinaryIO

DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
    8: "float64", 9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16",
    28: "uint16", 29: "float8_e4m3", 30: "float8_e5m2", 31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz", 33: "float8_e8m0", 34: "uint32", 35: "uint64",
}  # fmt: skip
"""The numbers of the types in an exported program."""


def prepare() -> None:
    """Import what is needed, down to what only the first use imports."""
    import torch
    from safetensors.torch import save

    save({"warm": torch.zeros(1)})
    torch.frombuffer(bytearray(8), dtype=torch.float32).as_strided([1], [1], 0).clone()


def convert_torchscript(file: BinaryIO) -> bytes:
    """Open a TorchScript archive and give its weights as safetensors."""
    import torch
    from safetensors.torch import save

    model = torch.jit.load(io.BytesIO(file.read()), map_location="cpu")
    return save({name: value.detach().clone().contiguous() for name, value in
                 model.state_dict().items()})  # fmt: skip


def convert_exported(file: BinaryIO) -> bytes:
    """Take the weights of an exported program out of its archive, as safetensors."""
    import torch
    from safetensors.torch import save

    weights: dict[str, torch.Tensor] = {}
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.rpartition("/")[2] == "serialized_state_dict.pt":
                loaded = torch.load(io.BytesIO(archive.read(name)), "cpu", weights_only=True)
                weights |= dict(loaded)
            if name.endswith("_weights_config.json"):
                config = json.loads(archive.read(name))["config"]
                folder = name.rpartition("/")[0]
                for key, told in config.items():
                    words = archive.read(f"{folder}/{told['path_name']}")
                    weights[key] = _tensor(words, told)
    if not weights:
        raise ValueError("the archive holds no weights that are known to be such")
    return save({key: value.detach().clone().contiguous() for key, value in weights.items()})


def _tensor(words: bytes, told: Any) -> Any:
    """Build one tensor from its bytes and from what is told of it."""
    import torch

    if told["use_pickle"]:
        return torch.load(io.BytesIO(words), "cpu", weights_only=True)
    meta = told["tensor_meta"]
    names = {"float8_e4m3": "float8_e4m3fn", "float8_e8m0": "float8_e8m0fnu"}
    kind = DTYPES[meta["dtype"]]
    flat = torch.frombuffer(bytearray(words), dtype=getattr(torch, names.get(kind, kind)))
    sizes, strides = ([axis["as_int"] for axis in meta[name]] for name in ("sizes", "strides"))
    return flat.as_strided(sizes, strides, meta["storage_offset"]["as_int"])
