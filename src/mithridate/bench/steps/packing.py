"""Raw inputs as tensors, so that a store needs no pickle: bytes as they are, strings as UTF-8."""

from __future__ import annotations

import numpy as np
import torch

from mithridate.core.data import Inputs


def pack(inputs: Inputs) -> dict[str, torch.Tensor]:
    """Turn raw inputs[n] into tensors."""
    if isinstance(inputs, torch.Tensor):
        return {"inputs": inputs}
    encoded = [str(value).encode("utf-8", "surrogatepass") for value in inputs]
    ends = np.cumsum([0, *(len(value) for value in encoded)])
    characters = np.frombuffer(b"".join(encoded), dtype=np.uint8).copy()
    return {"characters": torch.from_numpy(characters), "ends": torch.from_numpy(ends)}


def unpack(tensors: dict[str, torch.Tensor]) -> Inputs:
    """Turn the tensors of `pack` back into raw inputs[n]."""
    if "inputs" in tensors:
        return tensors["inputs"]
    characters, ends = tensors["characters"].numpy().tobytes(), tensors["ends"].tolist()
    column = np.empty(len(ends) - 1, dtype=object)
    for i in range(len(column)):
        column[i] = characters[ends[i] : ends[i + 1]].decode("utf-8", "surrogatepass")
    return column
