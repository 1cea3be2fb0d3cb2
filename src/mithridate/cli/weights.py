"""Networks as files of tensors: no file is ever asked to run code."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from mithridate.cli.settings import build
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError, UnsafeData
from mithridate.core.method import Trainer


@dataclass(frozen=True)
class Note:
    """What a file says about its weights, as far as it says it.

    network: its name; classes: their names, in the order of the outputs; trainer, settings: what
    gave the network its form, by name and as on the command line.
    """

    network: str = ""
    classes: tuple[str, ...] = ()
    trainer: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def form(self, model: nn.Module) -> nn.Module:
        """Give a network of this name the form in which it was trained."""
        if not self.trainer:
            return model
        trainer: Trainer = build(cast(Any, Trainer), self.trainer, self.settings)
        return trainer.form(model)


def load(
    path: Path, domain: Domain, data: Dataset, network: str, rng: np.random.Generator
) -> nn.Module:
    """Build a network for such data and give it the weights in a file.

    network: its name; "" takes the one that the file names, or the domain's default. The file holds
    safetensors, or is a .pt or .pth with nothing but tensors by name.
    Raises DataError where the file is broken, UnsafeData where it holds more than tensors,
    MethodError where the weights do not fit.
    """
    tensors, note = _read(path)
    if note.classes and note.classes != data.classes:
        raise MethodError(
            f"{str(path)!r}: the network tells apart {list(note.classes)[:10]}, and the data hold "
            f"{list(data.classes)[:10]}; name the classes alike and in the same order"
        )
    named = note.network
    model = note.form(domain.network(data, network or named, rng))
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        first = [line.strip() for line in str(error).splitlines()[1:3]]
        raise MethodError(
            f"{str(path)!r}: the weights do not fit the network {network or named or 'by default'} "
            f"for {len(data.classes)} classes; name theirs with --network ({' '.join(first)})"
        ) from None
    return model


def noted(path: Path) -> Note:
    """Read what a file says about its weights; see `load` for what it raises."""
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, torch.Tensor], Note]:
    """Read the tensors, and the note beside them."""
    if not path.is_file():
        raise DataError(f"{str(path)!r}: no such file; expected the weights of a network")
    if path.suffix in (".pt", ".pth"):
        return _unpickled(path), Note()
    try:
        with safe_open(path, "pt") as opened:
            words = (opened.metadata() or {}).get("mithridate", "{}")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return tensors, _note(json.loads(words))
    except (SafetensorError, ValueError, RecursionError) as error:
        raise DataError(
            f"{str(path)!r}: expected safetensors, or a .pt of tensors; found neither ({error})"
        ) from None


def _note(found: Any) -> Note:
    """Take from a note what has the right type; a file from outside may say anything."""
    told = found if isinstance(found, dict) else {}
    classes, settings = told.get("classes"), told.get("settings")
    return Note(
        str(told.get("network", "")),
        tuple(map(str, classes)) if isinstance(classes, list) else (),
        str(told.get("trainer", "")),
        {str(k): str(v) for k, v in settings.items()} if isinstance(settings, dict) else {},
    )


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
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        raise DataError(f"{str(path)!r}: expected tensors by name, as model.state_dict() gives")
    return found


def save(model: nn.Module, path: Path, note: Note) -> None:
    """Write the weights as safetensors, with what is to be known about them."""
    tensors = {
        name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()
    }
    temporary = path.with_name(f"{path.name}.writing")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, temporary, metadata={"mithridate": json.dumps(asdict(note))})
    temporary.replace(path)
