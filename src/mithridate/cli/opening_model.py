"""A model file for `mithridate scan model`: looked at first, then opened as it is deployed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from torch import nn

from mithridate.cli.encoding import numbers
from mithridate.cli.scan_model import ScanModel
from mithridate.cli.terminal import note
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import DataError, MethodError, UnsafeData
from mithridate.core.streams import stream
from mithridate.domains.image.checkpoints import weights_in
from mithridate.pipelines import kept_network
from mithridate.pipelines.deployment import Placed, as_deployed

WEIGHTS = (
    ".safetensors", ".pt", ".pth", ".th", ".tar", ".ckpt", ".bin", ".npz", ".h5", ".hdf5",
)  # fmt: skip
"""How files of weights are named, those of torch in all its spellings (model.pth.tar)."""


def check_flags(request: ScanModel) -> None:
    """Refuse at once, and not after the training, what cannot be done."""
    if request.out.exists() and not request.out.is_dir():
        raise DataError(f"{str(request.out)!r}: expected a folder for the report, found a file")
    if not 0 < request.level < 1 or not 0 < request.apart < 1:
        raise MethodError(
            "expected --level and --apart between 0 and 1, "
            f"found {request.level} and {request.apart}"
        )
    if request.clean_models is not None and request.clean_scores:
        raise MethodError("--clean-models and --clean-scores both give the references; name one")
    onnx = kept_network.is_onnx(request.file)
    if onnx and request.clean_models is None and not request.network:
        raise MethodError(
            "an ONNX file does not say which network it holds, and clean references must be of the "
            "same form: name it with --network, or give --clean-models"
        )
    if request.clean_models is None and request.references < 2:
        raise MethodError(f"expected at least 2 --references, found {request.references}")


def encoding(request: ScanModel) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and standard deviation that were given."""
    return numbers(request.mean), numbers(request.std)


def of_folder(request: ScanModel) -> ScanModel:
    """Take the weights in a checkpoint of Hugging Face, and its configuration as the network."""
    if not request.file.is_dir():
        return request
    named = request.network or f"huggingface:{request.file}"
    return replace(request, file=weights_in(request.file), network=named)


def looked_at(file: Path) -> tuple[str, ...]:
    """Look at the file without opening it; raises UnsafeData where it could harm the reader."""
    from mithridate.artifacts.inspect import PROGRAMS, inspect_file
    from mithridate.artifacts.opening import no_weights

    report = inspect_file(file)
    if report.format in PROGRAMS:
        raise no_weights(report)
    dangers = [f for f in report.findings if f.severity == "danger"]
    if dangers:
        raise UnsafeData(
            f"{str(file)!r}: {dangers[0].what}; it is not opened (`mithridate scan file` says more)"
        )
    return tuple(f.what for f in report.findings if f.severity in ("warning", "unknown"))


def files_in(folder: Path) -> list[Path]:
    """The weights in a folder; raises DataError where there are fewer than two."""
    found = sorted(p for p in folder.glob("*") if p.suffix in WEIGHTS) if folder.is_dir() else []
    if len(found) < 2:
        raise DataError(
            f"{str(folder)!r}: expected a folder with the weights of clean networks, at least two "
            f"files ({', '.join(WEIGHTS)}); found {len(found)}"
        )
    return found


def opened(
    request: ScanModel, domain: Domain, trusted: Dataset, shown: Dataset
) -> tuple[Placed, Callable[[nn.Module], Placed], str]:
    """Open a file of weights, and say how clean networks get into the same precision."""

    def place(model: nn.Module) -> Placed:
        return as_deployed(model, request.precision, domain, shown)

    rng = stream(request.seed, "weights")
    model = kept_network.load(request.file, domain, trusted, request.network, rng, request.part)
    return place(model), place, request.precision


def opened_onnx(
    request: ScanModel, domain: Domain, shown: Dataset
) -> tuple[Placed, Callable[[nn.Module], Placed], str]:
    """Open an ONNX file as it is, and say how clean networks get into its precision."""
    from mithridate.pipelines.deployment import onnx_kind, place_as_onnx, place_onnx

    mean, std = encoding(request)
    suspect = place_onnx(request.file, domain, shown, mean, std)
    if suspect.twin is None:
        hint = "" if mean or std else "; without --mean and --std the file is given bytes"
        note(f"methods that need derivatives cannot look into the file: {suspect.why}{hint}")
    kind = onnx_kind(request.file)
    return suspect, lambda model: place_as_onnx(model, kind, domain, shown), f"ONNX, {kind}"
