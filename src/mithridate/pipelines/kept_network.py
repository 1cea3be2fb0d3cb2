"""Networks as files of tensors: no file is ever asked to run code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from mithridate.artifacts.boosted_fitting import fitted
from mithridate.artifacts.boosted_reading import is_boosted, open_boosted
from mithridate.artifacts.nearest import nearest
from mithridate.artifacts.opening import load_part, network_told, open_parts
from mithridate.artifacts.parts import Tensors
from mithridate.artifacts.recognise import recognise
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError, UnsafeData
from mithridate.core.files import replacement, write_tensors
from mithridate.core.method import Trainer
from mithridate.core.settings import build
from mithridate.core.spelling import option
from mithridate.domains.elsewhere import (
    Elsewhere,
    encode_by,
    encoding_of,
    is_elsewhere,
    labels_in,
)
from mithridate.pipelines.weights_place import WeightsPlace, own_weights


@dataclass(frozen=True)
class Note:
    """What a file says about its weights, as far as it says it.

    Attributes:
        network: its name.
        classes: their names, in the order of the outputs.
        trainer: what gave the network its form, by name and as on the command line.
        settings: what gave the network its form, by name and as on the command line.
        encoding: the mean and the standard deviation by which a network from elsewhere
            standardises, which its own weights lack.
        columns: of the table whose rows it takes, the name and the kind of each, in its order.
    """

    network: str = ""
    classes: tuple[str, ...] = ()
    trainer: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    encoding: tuple[tuple[float, ...], ...] = ()
    columns: tuple[tuple[str, str], ...] = ()

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
        trainer = self.trained_by
        return model if trainer is None else trainer.form(model)

    @property
    def trained_by(self) -> Trainer | None:
        """Who trained the network, None where the file does not say it."""
        if not self.trainer:
            return None
        trainer: Trainer = build(cast(Any, Trainer), self.trainer, self.settings)
        return trainer


def load(
    path: Path, domain: Domain, data: Dataset, network: str, rng: np.random.Generator,
    part: str = "", columns: Sequence[str] = (),
) -> nn.Module:  # fmt: skip
    """Build a network for such data and give it the weights in a file.

    The file is one that `open_weights` takes: safetensors, or a .pt, .npz or .h5 with tensors by
    name; or it holds boosted trees of LightGBM or XGBoost.

    Args:
        network: its name; "" takes the one that the file names, or the domain's default.
        part: which of them to take, where several groups of them fit the network.
        columns: the names of the columns of boosted trees, where the file does not say them.

    Raises:
        DataError: where the file is broken.
        UnsafeData: where it holds more than tensors or names code as its network.
        MethodError: where the weights do not fit.
    """
    if is_boosted(path):
        file = open_boosted(path)
        return fitted(file, domain, data.inputs, len(data.classes), columns)
    parts, note = _read(path)
    if note.classes and note.classes != data.classes:
        raise MethodError(
            f"{str(path)!r}: the network tells apart {list(note.classes)[:10]}, and the data hold "
            f"{list(data.classes)[:10]}; name the classes alike and in the same order"
        )
    named = note.named(network)
    model = note.form(domain.network(data, named, rng))
    try:
        made = load_part(model, parts, part)
    except MethodError as error:
        several = str(error).startswith("several")
        why = str(error) if named or several else unnamed(domain, data, parts, rng)
        if named and not several:
            why += (
                f"; the network is {named[:200]} for {len(data.classes)} classes, and another is "
                f"named with {option('network', 'NAME')}"
            )
        raise MethodError(f"{str(path)!r}: {why}") from None
    if note.encoding and isinstance(made, Elsewhere) and not getattr(domain, "mean", ()):
        encode_by(made, *note.encoding)
    return made


def unnamed(
    domain: Domain, data: Dataset, parts: Mapping[str, Tensors], rng: np.random.Generator
) -> str:
    """Say what to do where nobody says what network weights are of."""
    return (
        f"the weights do not fit the default network for {len(data.classes)} classes, and "
        f"the file does not say what they are of: {nearest(domain, data, parts, rng)}. Name it: "
        f"{option('network', 'python:FILE.py:FUNCTION')}, a function of yours that is given the "
        f"number of classes and returns the network, {option('network', 'timm:NAME')}, or one of "
        f"ours ({', '.join(getattr(domain, 'networks', ()))})"
    )


def deployed(
    path: Path, domain: Domain, data: Dataset, network: str, rng: np.random.Generator,
    part: str = "", columns: Sequence[str] = (),
) -> nn.Module:  # fmt: skip
    """Give what a file answers with: an ONNX graph as it is, or a network with its weights.

    For the arguments and what is raised see `load`; an ONNX graph takes (x / 255 - mean) / std by
    the domain's mean and std, and the examples as they are where the domain has none.

    Raises:
        MethodError: where the graph does not answer with as many logits as there are classes.
    """
    if not is_onnx(path):
        return load(path, domain, data, network, rng, part, columns)
    from mithridate.artifacts.onnx import Adapter, Session, read, without_softmax

    adapter = Adapter.of(getattr(domain, "mean", ()), getattr(domain, "std", ()))
    session = Session(without_softmax(read(path)), adapter)
    answers = session(domain.prepare(data.inputs[:1])).shape[1]
    if answers != len(data.classes):
        raise MethodError(
            f"{str(path)!r}: expected a logit for each of {len(data.classes)} classes, found "
            f"{answers}"
        )
    return session


def is_onnx(path: Path) -> bool:
    """Tell whether a file is an ONNX graph, by its name or by its bytes."""
    if path.suffix == ".onnx" or not path.is_file():
        return path.suffix == ".onnx"
    with path.open("rb") as file:
        return recognise(file, path.stat().st_size) == "onnx"


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
    if is_boosted(path):
        file = open_boosted(path)
        grown = {**file.told, "rounds": str(file.rounds), "leaves": str(max(file.leaves, 2))}
        return Note(trainer="boosted-trees", settings=grown)
    return Note() if is_onnx(path) else _read(path)[1]


def _read(path: Path) -> tuple[dict[str, dict[str, torch.Tensor]], Note]:
    """Read the tensors by part, and the note beside them."""
    tensors = open_parts(path)
    try:
        with safe_open(path, "pt") as file:
            kept = (file.metadata() or {}).get("mithridate", "{}")
    except SafetensorError:  # another format, which has no room for a note
        return tensors, Note(network_told(path))
    try:
        return tensors, _note(json.loads(kept))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{str(path)!r}: expected JSON in the note about the network, found none ({error})"
        ) from None


def _note(raw: Any) -> Note:
    """Take from a note what has the right type; a file from outside may say anything."""
    told = raw if isinstance(raw, dict) else {}
    classes, settings = told.get("classes"), told.get("settings")
    return Note(
        str(told.get("network", "")),
        tuple(map(str, classes)) if isinstance(classes, list) else (),
        str(told.get("trainer", "")),
        {str(k): str(v) for k, v in settings.items()} if isinstance(settings, dict) else {},
        _encoding(told.get("encoding")),
        _columns(told.get("columns")),
    )


def _columns(told: Any) -> tuple[tuple[str, str], ...]:
    """Take columns from a note, () where it holds none of sense."""
    pairs = told if isinstance(told, list) else []
    fine = all(isinstance(p, list) and len(p) == 2 and all(type(v) is str for v in p)
               for p in pairs)  # fmt: skip
    return tuple((name, kind) for name, kind in pairs) if fine else ()


def _encoding(told: Any) -> tuple[tuple[float, ...], ...]:
    """Take a mean and a standard deviation from a note, () where it holds none of sense."""
    pair = told if isinstance(told, list) and len(told) == 2 else []
    fine = pair and all(
        isinstance(part, list) and len(part) in (1, 3) and all(type(v) is float for v in part)
        for part in pair
    )
    return tuple(tuple(part) for part in pair) if fine and min(pair[1]) > 0 else ()


def save(
    model: nn.Module, path: Path, note: Note, place: WeightsPlace | None = None
) -> tuple[Path, ...]:
    """Write the weights as safetensors, with what is to be known about them; give what was written.

    Those of a network from elsewhere keep the names that it gives them itself, so that its own
    library reads them; how inputs enter is then a part of the note.

    Args:
        model: The network.
        path: Of the file.
        note: What is to be known.
        place: Where the weights came from: they get the names and kinds of numbers that they had
            there, and where that was a file of torch, such a file is written beside.
    """
    if isinstance(model, Elsewhere):
        note = replace(note, encoding=encoding_of(model))
    tensors = own_weights(model) if place is None else place.given_back(own_weights(model))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {"mithridate": json.dumps(asdict(note))})
    if place is None or not place.of_torch:
        return (path,)
    return path, _save_as_torch(place.nested(tensors), path.with_suffix(".pt"))


def _save_as_torch(checkpoint: Any, beside: Path) -> Path:
    """Write a checkpoint as torch does; gives its path."""
    with replacement(beside) as unfinished:
        torch.save(checkpoint, unfinished)
    return beside
