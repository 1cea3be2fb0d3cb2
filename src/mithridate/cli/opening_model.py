"""A model file for `mithridate scan model`: looked at first, then opened as it is deployed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from mithridate.cli import weights
from mithridate.cli.scan_model import ScanModel
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError, UnsafeData
from mithridate.domains.image.checkpoints import labels_in, weights_in
from mithridate.domains.image.domain import ImageDomain
from mithridate.domains.image.elsewhere import is_elsewhere
from mithridate.pipelines.deployment import Placed, as_deployed


def of_folder(request: ScanModel) -> ScanModel:
    """Take the weights in a checkpoint of Hugging Face, and its configuration as the network."""
    if not request.file.is_dir():
        return request
    named = request.network or f"huggingface:{request.file}"
    return replace(request, file=weights_in(request.file), network=named)


def classes_of(
    request: ScanModel, kept: weights.Note, there: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give the classes in the order of the outputs, and what is to be said of them.

    kept: what the file says; there: those of the data, whose order is taken where nothing is said.
    """
    kind, _, folder = request.network.partition(":")
    if kept.classes or kind != "huggingface":
        return kept.classes or there, ()
    named = labels_in(Path(folder))
    if set(named) == set(there):
        return named, ()
    return there, (
        "config.json does not name the classes as the data do, so the order of its outputs is "
        "taken to be that of the data",
    )


def encoding(request: ScanModel, domain: Domain) -> Domain:
    """Let networks from elsewhere standardise images as was asked for."""
    mean, std = (numbers(words) for words in (request.mean, request.std))
    if not mean and not std:
        return domain
    if not isinstance(domain, ImageDomain) or not is_elsewhere(request.network):
        raise MethodError(
            "--mean and --std are for images in ONNX files and in networks that --network says are "
            "from elsewhere; files of this library hold their own"
        )
    return replace(domain, mean=mean, std=std)


def looked_at(file: Path) -> tuple[str, ...]:
    """Look at the file without opening it; raises UnsafeData where it could harm the reader."""
    from mithridate.artifacts.inspect import inspected

    found = inspected(file)
    dangers = [f for f in found.findings if f.severity == "danger"]
    if dangers:
        raise UnsafeData(
            f"{str(file)!r}: {dangers[0].what}; it is not opened (`mithridate scan file` says more)"
        )
    return tuple(f.what for f in found.findings if f.severity in ("warning", "unknown"))


def placing(precision: str, domain: Domain, shown: Dataset) -> Callable[[nn.Module], Placed]:
    """What brings a network into a precision."""
    return lambda model: as_deployed(model, precision, domain, shown)


def opened_onnx(
    request: ScanModel, domain: Domain, shown: Dataset
) -> tuple[Placed, Callable[[nn.Module], Placed], str]:
    """Open an ONNX file as it is, and say how clean networks get into its precision."""
    from mithridate.pipelines.deployment import onnx_kind, onnx_placed, placed_as_onnx

    mean, std = (numbers(words) for words in (request.mean, request.std))
    suspect = onnx_placed(request.file, domain, shown, mean, std)
    kind = onnx_kind(request.file)
    return suspect, lambda model: placed_as_onnx(model, kind, domain, shown), f"ONNX, {kind}"


def numbers(words: str) -> tuple[float, ...]:
    """Read numbers with commas between them."""
    try:
        return tuple(float(word) for word in words.split(",") if word.strip())
    except ValueError:
        raise MethodError(f"expected numbers with commas between them, found {words!r}") from None
