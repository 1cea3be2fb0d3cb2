"""The weights in a model file as tensors by name, after the file was looked at."""

from __future__ import annotations

import importlib.util
import os
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from mithridate.artifacts import jail
from mithridate.artifacts.findings import FileLimits, FileReport
from mithridate.artifacts.inspect import inspect_file, open_file
from mithridate.core.errors import DataError, MethodError, MissingExtra, UnsafeData
from mithridate.domains.image.elsewhere import Elsewhere

PREFIXES = ("module.", "model.", "_orig_mod.", "state_dict.", "network.", "net.")
"""What wrappers of networks put before the names of weights."""

NESTS = ("state_dict", "model_state_dict", "model", "network", "net", "module")
"""Where training scripts keep the weights in a larger dictionary."""

PROGRAMS = ("torchscript", "pt2")
TENSORS = ("safetensors", "torch", "torch legacy", "npz", "hdf5")


def open_weights(
    path: str | Path, *, code: bool = False, limits: FileLimits | None = None
) -> dict[str, torch.Tensor]:
    """Give the weights in a model file by name: safetensors, .pt of tensors, .npz or .h5.

    Args:
        code: whether a TorchScript archive or an exported program may be opened, too; that happens
            in a limited process which gives back weights and nothing else.

    Raises:
        UnsafeData: where the file could harm the reader.
        DataError: where it is broken or holds no tensors by name.
        MissingExtra: where a package is needed.
    """
    place, bounds = Path(path), limits or FileLimits()
    report = inspect_file(place, code=code, values=False, limits=bounds)
    _refuse(report, code)
    try:
        with open_file(place) as file:
            return _load(report, file, place, bounds)
    except pickle.UnpicklingError:
        raise UnsafeData(
            f"{str(path)!r}: expected nothing but tensors, found objects that could run code, and "
            "did not open them; save model.state_dict() as safetensors"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, SafetensorError, MemoryError,
            zipfile.BadZipFile, AttributeError, TypeError) as error:  # fmt: skip
        first = str(error).partition("\n")[0]
        raise DataError(
            f"{str(path)!r}: expected {report.format} that torch can read, found none ({first}); "
            "get the file again"
        ) from None


def _refuse(report: FileReport, code: bool) -> None:
    """Raise what speaks against opening a file."""
    name = repr(report.path)
    for finding in report.of("danger"):
        where = f" in {finding.where}" if finding.where else ""
        raise UnsafeData(f"{name}: {finding.what}{where}, so it was not opened; {finding.todo}")
    if report.cut and report.format in ("torch", "torch legacy"):
        raise UnsafeData(
            f"{name}: expected a pickle that can be read to its end before it is opened, found a "
            "broken or too long one; ask for tensors by name as safetensors"
        )
    if report.format in PROGRAMS and not code:
        raise UnsafeData(
            f"{name}: expected tensors, found an exported program; in Python, "
            "opened(path, code=True) lets a limited process take its weights out"
        )
    if report.format == "hdf5" and importlib.util.find_spec("h5py") is None:
        raise MissingExtra(f"{name}: .h5 needs h5py; pip install 'mithridate[keras]'")
    if report.format not in TENSORS + PROGRAMS:
        raise DataError(
            f"{name}: expected safetensors, or a .pt, .npz or .h5 of tensors; found neither "
            f"(format: {report.format})"
        )


def _load(
    report: FileReport, file: BinaryIO, place: Path, limits: FileLimits
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Read the tensors of a format."""
    if report.format == "safetensors":
        return load_file(place)
    if report.format == "npz":
        return _arrays(file)
    if report.format in ("torch", "torch legacy"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that are refused anyway
            return find_tensors(
                torch.load(file, map_location="cpu", weights_only=True), report.path
            )
    job = "hdf5 weights" if report.format == "hdf5" else report.format
    return _read_converted(jail.run_limited(job, file, report.size, limits), limits)


def _arrays(file: BinaryIO) -> dict[str, torch.Tensor]:
    """Read the arrays of a NumPy archive."""
    import numpy as np

    with np.load(file, allow_pickle=False) as archive:
        return {name: torch.from_numpy(np.array(archive[name], order="C")) for name in archive}


def _read_converted(words: bytes, limits: FileLimits) -> dict[str, torch.Tensor]:
    """Take what a limited process wrote for no more than it is: bytes from outside."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "converted.safetensors"
        place.write_bytes(words)
        report = inspect_file(place, values=False, limits=replace(limits))
        if report.format != "safetensors" or report.answer != "clean":
            raise DataError("the limited process gave back something else than tensors")
        return {name: value.clone() for name, value in load_file(os.fspath(place)).items()}


def find_tensors(content: Any, path: str) -> dict[str, torch.Tensor]:
    """Find the tensors by name in what was loaded. Raises DataError, UnsafeData."""
    for nest in NESTS:
        if isinstance(content, Mapping) and isinstance(content.get(nest), Mapping):
            content = content[nest]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise DataError(f"{path!r}: expected tensors by name, as model.state_dict() gives")
    for name, value in content.items():
        plain = value.layout == torch.strided and value.device.type == "cpu"
        if not plain or value.is_quantized:
            raise DataError(f"{path!r}: expected plain tensors, found another kind in {name!r}")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UnsafeData(f"{path!r}: {name!r} is said to be larger than what the file holds")
    return dict(content)


def strip_prefixes(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Take from all names what wrappers put before them, e.g. `module.` of data parallelism."""
    return _forms(tensors)[-1]


def _forms(tensors: Mapping[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """The names as they are, and without one, two and more of what wrappers put before them."""
    forms = [dict(tensors)]
    while last := forms[-1]:
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in last)), None)
        if prefix is None or any(name == prefix for name in last):
            break
        forms.append({name.removeprefix(prefix): value for name, value in last.items()})
    return forms


def _few(line: str, most: int = 3) -> str:
    """A line that lists names of weights, with the first few of them."""
    names = line.split('", "')
    if len(names) <= most:
        return line
    return '", "'.join(names[:most]) + f'" and {len(names) - most} more'


def load_into(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """Give a network weights by name, and return it; prefixes of wrappers are no obstacle.

    Weights of a network from elsewhere may be those that its library saves.

    Raises:
        MethodError: where names or shapes do not fit.
    """
    expected, forms = set(model.state_dict()), _forms(tensors)
    best = max(forms, key=lambda names: len(expected & set(names)))
    try:
        if isinstance(model, Elsewhere) and not expected & set(best):
            model.take(*forms)
        else:
            model.load_state_dict(best)
    except RuntimeError as error:
        first = [_few(line.strip()) for line in str(error).splitlines()[1:3]]
        raise MethodError(f"the weights do not fit the network ({' '.join(first)})") from None
    return model
