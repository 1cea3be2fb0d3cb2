"""Networks as files of tensors: no file is ever asked to run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from mithridate.artifacts.opening import load_into, open_weights
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError, UnsafeData
from mithridate.core.files import write_tensors
from mithridate.core.method import Trainer
from mithridate.core.settings import build
from mithridate.domains.elsewhere import is_elsewhere, labels_in


@dataclass(frozen=True)
class Note:
    """What a file says about its weights, as far as it says it.

    Attributes:
        network: its name.
        classes: their names, in the order of the outputs.
        trainer: what gave the network its form, by name and as on the command line.
        settings: what gave the network its form, by name and as on the command line.
    """

    network: str = ""
    classes: tuple[str, ...] = ()
    trainer: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    def named(self, wanted: str) -> str:
        """Give the name that a user wants, or else that of the file.

        Raises:
            UnsafeData: where the file names code, a folder on this machine, or a network of a
                library that may be larger than the file could fill.
        """
        if not wanted and is_elsewhere(self.network):
            raise UnsafeData(
                f"the file says that its network is {self.network[:200]!r}, which may run code or "
                "fill the memory; say so with --network if you trust that"
            )
        return wanted or self.network

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

    The file is one that `open_weights` takes: safetensors, or a .pt, .npz or .h5 with nothing but
    tensors by name.

    Args:
        network: its name; "" takes the one that the file names, or the domain's default.

    Raises:
        DataError: where the file is broken.
        UnsafeData: where it holds more than tensors or names code as its network.
        MethodError: where the weights do not fit.
    """
    tensors, note = _read(path)
    if note.classes and note.classes != data.classes:
        raise MethodError(
            f"{str(path)!r}: the network tells apart {list(note.classes)[:10]}, and the data hold "
            f"{list(data.classes)[:10]}; name the classes alike and in the same order"
        )
    named = note.named(network)
    model = note.form(domain.network(data, named, rng))
    try:
        return load_into(model, tensors)
    except MethodError as error:
        told = str(error).removeprefix("the weights do not fit the network ")
        raise MethodError(
            f"{str(path)!r}: the weights do not fit the network {named or 'by default'} "
            f"for {len(data.classes)} classes; name theirs with --network {told}"
        ) from None


def classes_of(kept: Note, network: str, there: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Give the classes in the order of the outputs, and what is to be said of that; "" for nothing.

    Args:
        kept: what the file says.
        network: the name that a user gave.
        there: the classes of the data, whose order is taken where nothing is said.
    """
    kind, _, folder = network.partition(":")
    if kept.classes or kind != "huggingface":
        return kept.classes or there, ""
    named = labels_in(Path(folder))
    if set(named) == set(there):
        return named, ""
    return there, (
        "config.json does not name the classes as the data do, so the order of its outputs is "
        "taken to be that of the data"
    )


def noted(path: Path) -> Note:
    """Read what a file says about its weights; see `load` for what it raises."""
    return _read(path)[1]


def _read(path: Path) -> tuple[dict[str, torch.Tensor], Note]:
    """Read the tensors, and the note beside them."""
    tensors = open_weights(path)
    try:
        with safe_open(path, "pt") as file:
            kept = (file.metadata() or {}).get("mithridate", "{}")
    except SafetensorError:  # another format, which has no room for a note
        return tensors, Note()
    try:
        return tensors, _note(json.loads(kept))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{str(path)!r}: expected JSON in the note about the network, found none ({error})"
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


def save(model: nn.Module, path: Path, note: Note) -> None:
    """Write the weights as safetensors, with what is to be known about them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, model.state_dict(), {"mithridate": json.dumps(asdict(note))})
