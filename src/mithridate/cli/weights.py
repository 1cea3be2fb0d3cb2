"""Networks as files of tensors: no file is ever asked to run code."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError, UnsafeData


def load(
    path: Path, domain: Domain, data: Dataset, network: str, rng: np.random.Generator
) -> nn.Module:
    """Build a network for such data and give it the weights in a file.

    network: its name; "" takes the one that the file names, or the domain's default. The file holds
    safetensors, or is a .pt or .pth with nothing but tensors by name.
    Raises DataError where the file is broken, UnsafeData where it holds more than tensors,
    MethodError where the weights do not fit.
    """
    tensors, named = _read(path)
    model = domain.network(data, network or named, rng)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        first = [line.strip() for line in str(error).splitlines()[1:3]]
        raise MethodError(
            f"{str(path)!r}: the weights do not fit the network {network or named or 'by default'} "
            f"for {len(data.classes)} classes; name theirs with --network ({' '.join(first)})"
        ) from None
    return model


def _read(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    """Read the tensors, and the name of their network where the file says it."""
    if not path.is_file():
        raise DataError(f"{str(path)!r}: no such file; expected the weights of a network")
    if path.suffix in (".pt", ".pth"):
        return _unpickled(path), ""
    try:
        with safe_open(path, "pt") as opened:
            note = (opened.metadata() or {}).get("mithridate", "{}")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        described = json.loads(note)
        return tensors, str(described.get("network", "")) if isinstance(described, dict) else ""
    except (SafetensorError, ValueError) as error:
        raise DataError(
            f"{str(path)!r}: expected safetensors, or a .pt of tensors; found neither ({error})"
        ) from None


def _unpickled(path: Path) -> dict[str, torch.Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that are refused anyway
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UnsafeData(
            f"{str(path)!r}: expected nothing but tensors, found objects that could run code, and "
            "did not open them; save model.state_dict() as safetensors"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        first = str(error).partition("\n")[0]
        raise DataError(
            f"{str(path)!r}: expected a file of torch.save, found none ({first})"
        ) from None
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise DataError(f"{str(path)!r}: expected tensors by name, as model.state_dict() gives")
    return found


def save(model: nn.Module, path: Path, network: str) -> None:
    """Write the weights as safetensors, with the name of the network."""
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    note = json.dumps({"network": network})
    temporary = path.with_name(f"{path.name}.writing")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, temporary, metadata={"mithridate": note})
    temporary.replace(path)
