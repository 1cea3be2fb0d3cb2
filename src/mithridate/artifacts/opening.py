"""The weights in a model file as tensors by name, after the file was looked at."""

from __future__ import annotations

import importlib.util
import os
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from mithridate.artifacts import jail
from mithridate.artifacts.agents import KeptPolicy, inner, is_agent, kept_policy
from mithridate.artifacts.archives import open_archive
from mithridate.artifacts.findings import FileLimits, FileReport, Log
from mithridate.artifacts.inspect import PROGRAMS, inspect_file, open_file
from mithridate.artifacts.parts import chosen, fits, groups, listed, usual
from mithridate.artifacts.pickle_values import Described, Named
from mithridate.artifacts.recognise import recognise
from mithridate.artifacts.torch_tensors import Builder, of_archive, of_old_file
from mithridate.artifacts.torchao_weights import class_of, dequantise, unflatten
from mithridate.core.errors import DataError, MethodError, MissingExtra, UnsafeData
from mithridate.core.spelling import option, spoken
from mithridate.domains.elsewhere import Elsewhere

PREFIXES = ("module.", "model.", "_orig_mod.", "state_dict.", "network.", "net.")
"""What wrappers of networks put before the names of weights."""

TENSORS = ("safetensors", "torch", "torch legacy", "npz", "hdf5", "agent")


def open_weights(
    path: str | Path, *, code: bool = False, limits: FileLimits | None = None, part: str = ""
) -> dict[str, torch.Tensor]:
    """Give the weights in a model file by name: safetensors, .pt of tensors, .npz or .h5.

    Args:
        code: whether a TorchScript archive or an exported program may be opened, too; that happens
            in a limited process which gives back weights and nothing else.
        part: the name of the group of tensors to open, where a checkpoint holds several.

    Raises:
        UnsafeData: where the file could harm the reader.
        DataError: where it is broken, holds no tensors by name, or several groups of them.
        MissingExtra: where a package is needed.
    """
    parts = open_parts(path, code=code, limits=limits)
    return parts[_chosen(parts, part, path)]


def _chosen(parts: dict[str, dict[str, torch.Tensor]], part: str, path: str | Path) -> str:
    """Name the group of tensors that is asked for, or else the usual one; raises DataError."""
    name = next(iter(parts)) if len(parts) == 1 else usual(parts)
    if part:
        name = next((n for n in parts if n == part or n.endswith(f".{part}")), None)
    if name is None or (not part and not name and len(parts) > 1):
        asked = f" {part!r}" if part else ""
        raise DataError(
            f"{str(path)!r}: expected the part{asked} with the weights, found {listed(parts)}; "
            f"choose one with {option('part', 'NAME')}"
        )
    return name


def open_parts(
    path: str | Path, *, code: bool = False, limits: FileLimits | None = None
) -> dict[str, dict[str, torch.Tensor]]:
    """Give every group of tensors by name in a model file, by the path to it; "" is the top.

    States of optimisers are left out. For the arguments and what is raised see `open_weights`.
    """
    place, bounds = Path(path), limits or FileLimits()
    report = inspect_file(place, code=code, values=False, limits=bounds)
    _refuse(report, code)
    try:
        with open_file(place) as file:
            return _load(report, file, place, bounds)
    except UnsafeData as error:
        raise UnsafeData(f"{str(path)!r}: {error}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, SafetensorError, MemoryError,
            zipfile.BadZipFile, AttributeError, TypeError) as error:  # fmt: skip
        first = str(error).partition("\n")[0]
        raise DataError(
            f"{str(path)!r}: expected {report.format} that can be read, found none ({first}); "
            "get the file again"
        ) from None


IN_PYTHON = ", or let a limited process take them out: open_weights(path, code=True)"
NO_FLAG = "; no flag opens a program (docs/model_files.md says how Python takes out its weights)"
"""What helps whoever has a program where weights are needed, by the language of the caller."""


def no_weights(report: FileReport) -> UnsafeData:
    """Say what to do with a program where weights are needed."""
    return UnsafeData(
        f"{report.path!r}: expected weights, found {PROGRAMS[report.format]}: a program, which is "
        "not opened. Save the weights where the program was made, torch.save(model.state_dict(), "
        f"...){spoken(IN_PYTHON, NO_FLAG)}"
    )


def _refuse(report: FileReport, code: bool) -> None:
    """Raise what speaks against opening a file."""
    if report.format in PROGRAMS and not code:
        raise no_weights(report)
    _refuse_danger(report)
    _refuse_format(report)


def _refuse_danger(report: FileReport) -> None:
    """Raise what could harm the reader of a file; raises UnsafeData."""
    name = repr(report.path)
    for finding in report.of("danger"):
        where = f" in {finding.where}" if finding.where else ""
        raise UnsafeData(f"{name}: {finding.what}{where}, so it was not opened; {finding.todo}")
    if report.cut and report.format in ("torch", "torch legacy"):
        raise UnsafeData(
            f"{name}: expected a pickle that can be read to its end before it is opened, found a "
            "broken or too long one; ask for tensors by name as safetensors"
        )


def _refuse_format(report: FileReport) -> None:
    """Raise why a file of this format gives no tensors by name; raises DataError, MissingExtra."""
    name = repr(report.path)
    if report.format == "onnx":
        raise DataError(
            f"{name}: expected weights by name, found an ONNX graph; scan model and guard take it "
            "as it is, and what trains or repairs needs the weights that it was exported from"
        )
    if report.format == "hdf5" and importlib.util.find_spec("h5py") is None:
        raise MissingExtra(f"{name}: .h5 needs h5py; pip install 'mithridate[keras]'")
    if report.format not in TENSORS and report.format not in PROGRAMS:
        other = "one array without a name" if report.format == "npy" else report.format
        raise DataError(
            f"{name}: expected safetensors, or a .pt, .npz or .h5 of tensors; found neither but "
            f"{other}"
        )


def _load(
    report: FileReport, file: BinaryIO, place: Path, limits: FileLimits
) -> dict[str, dict[str, torch.Tensor]]:  # fmt: skip
    """Read the tensors of a format."""
    if report.format == "safetensors":
        return {"": with_left_out(load_file(place), place)}
    if report.format == "npz":
        return {"": _arrays(file)}
    if report.format == "torch":
        return find_tensors(of_archive(file, report.size, limits), report.path)
    if report.format == "agent":
        return {"": policy_in(file, report.size, report.path, limits).tensors}
    if report.format == "torch legacy":
        return find_tensors(of_old_file(file, report.size, limits), report.path)
    job = "hdf5 weights" if report.format == "hdf5" else report.format
    return {"": _read_converted(jail.run_limited(job, file, report.size, limits), limits)}


def policy_in(file: BinaryIO, size: int, path: str, limits: FileLimits) -> KeptPolicy:
    """Read the policy in an archive of stable-baselines3. Raises DataError, UnsafeData."""
    log = Log(limits)
    members = open_archive(file, size, log)
    weights = None if members is None or log.bomb else inner(members, log)
    if weights is None:
        raise DataError(f"{path!r}: expected the weights of a policy that can be unpacked")
    tensors = find_tensors(of_archive(weights, weights.getbuffer().nbytes, limits), path)
    return kept_policy(file, size, tensors[""], path)


def network_told(path: Path) -> str:
    """Name the network of a policy in an archive of stable-baselines3; "" for any other file."""
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if recognise(file, size) != "zip":
            return ""
        members = open_archive(file, size, Log(FileLimits()))
        if members is None or not is_agent(members):
            return ""
        return policy_in(file, size, str(path), FileLimits()).network


def with_left_out(tensors: dict[str, torch.Tensor], place: Path) -> dict[str, torch.Tensor]:
    """Put back what `safetensors.torch.save_model` left out: tensors that are another one's twin.

    The metadata of the file name them, each with the name under which it was kept.
    """
    with safe_open(place, "pt") as file:
        told = file.metadata() or {}
    more = {name: tensors[kept] for name, kept in told.items()
            if kept in tensors and name not in tensors}  # fmt: skip
    return unflatten({**tensors, **more}, told)


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


def find_tensors(builder: Builder, path: str) -> dict[str, dict[str, torch.Tensor]]:
    """Build every group of tensors by name in what a file holds. Raises DataError, UnsafeData."""
    content: dict[str, dict[str, torch.Tensor]] = {}
    odd = ""
    for part, held in groups(builder.content):
        made = {n: v for n, v in held.items() if isinstance(v, Named)}
        weights = {n: v for n, v in made.items() if class_of(v.path).endswith("Tensor")}
        other = next((n for n, v in made.items() if n not in weights and tensorlike(v)), "")
        odd = odd or other
        if other or "optim" in part.casefold():
            continue
        told = {name: value for name, value in held.items() if isinstance(value, Described)}
        if told:
            content[part] = {name: builder.tensor(value, name) for name, value in told.items()}
        for name, value in weights.items():
            content.setdefault(part, {})[name] = _of_torchao(builder, value, name)
    if not content and odd:
        raise DataError(f"{path!r}: expected plain tensors, found another kind in {odd!r}")
    if not content:
        raise DataError(f"{path!r}: expected tensors by name, as model.state_dict() gives")
    return content


def _of_torchao(builder: Builder, value: Named, name: str) -> torch.Tensor:
    """Build the parts of a weight of torchao, and give the floats that they stand for."""
    state = value.state if isinstance(value.state, dict) else {}
    parts = {key: builder.tensor(held, f"{name}.{key}") if isinstance(held, Described) else held
             for key, held in state.items()}  # fmt: skip
    return dequantise(class_of(value.path), parts, name)


def tensorlike(value: Named) -> bool:
    """Tell whether a pickle would make a tensor of another kind: sparse, quantised, or a class."""
    return value.path.startswith("torch._utils._rebuild") or any(
        isinstance(each, Described) for each in value.given
    )


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
    return load_part(model, {"": dict(tensors)})


def load_part(
    model: nn.Module, parts: Mapping[str, dict[str, torch.Tensor]], part: str = ""
) -> nn.Module:
    """Give a network the weights of the part that fits it, and return it.

    Args:
        model: The network.
        parts: What `open_parts` gave.
        part: The name of the part to take, where several fit.

    Raises:
        MethodError: No part fits, or several do and none was chosen.
    """
    inner = model.inner if isinstance(model, Elsewhere) else None
    for target in (model, inner):
        if target is None:
            continue
        fitting = chosen(fits(target.state_dict(), parts), part)
        if len(fitting) > 1:
            names = ", ".join(repr(fit.name) for fit in fitting[:12])
            raise MethodError(
                f"several parts fit the network: {names}; choose one with {option('part', 'NAME')}"
            )
        if fitting:
            target.load_state_dict(fitting[0].tensors)
            return model
    asked = part if part in parts else usual(parts)
    if len(parts) == 1:
        asked = next(iter(parts))
    if part not in ("", asked) or asked is None or (not asked and len(parts) > 1):
        raise MethodError(
            f"the weights do not fit the network in any of the parts {listed(parts)}; "
            f"name one with {option('part', 'NAME')} to see why"
        )
    return _forced(model, parts[asked])


def _forced(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    """Let the network, or the library that it is from, take weights, or say why it does not."""
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
