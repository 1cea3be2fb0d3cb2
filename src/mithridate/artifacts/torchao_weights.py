"""Weights that torchao keeps as whole numbers with scales, as the floats that they stand for.

They are read from their parts: no class of torchao is imported or made. Kinds that are packed for a
kernel of their own are named and not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch

from mithridate.artifacts.values import LARGEST
from mithridate.core.errors import DataError

KINDS = ("Int8Tensor", "IntxUnpackedToInt8Tensor", "Float8Tensor")
"""Classes of torchao whose parts lie in the order of the weight."""

LARGEST_NOTE = 1 << 16
"""Bytes of what metadata say of one weight."""


def class_of(path: str) -> str:
    """Name the class of torchao that a pickle names, "" where it is of somebody else."""
    home, _, name = path.rpartition(".")
    return name if home == "torchao" or home.startswith("torchao.") else ""


def dequantise(kind: str, parts: Mapping[str, Any], where: str) -> torch.Tensor:
    """Give the weight float[...] that parts stand for: (qdata - zero_point) scale, block by block.

    Args:
        kind: The class, of `KINDS`.
        parts: qdata, scale, maybe zero_point, tensors, and block_size, a length for each axis.
        where: How to speak of it.

    Raises:
        DataError: The class is not read, or the parts do not fit together.
    """
    if kind not in KINDS:
        raise DataError(
            f"{where!r} is a {kind[:60]} of torchao, packed for its own kernels; let torchao "
            "dequantise it, and save the weights"
        )
    codes, scale, zero, block = map(parts.get, ("qdata", "scale", "zero_point", "block_size"))
    if not isinstance(codes, torch.Tensor) or not isinstance(scale, torch.Tensor):
        raise DataError(f"{where!r}: expected qdata and scale of torchao's {kind}, found none")
    if parts.get("act_pre_scale") is not None:
        raise DataError(f"{where!r}: activations that torchao scales beforehand are not read")
    counts = _counts(list(codes.shape), block, where)
    wide = _widened(scale, counts, codes, where)
    shift = _widened(zero, counts, codes, where) if isinstance(zero, torch.Tensor) else 0.0
    return (codes.float() - shift) * wide


def _counts(shape: list[int], block: Any, where: str) -> list[int]:
    """The number of blocks along each axis."""
    sizes = list(block) if isinstance(block, list | tuple) else []
    fine = len(sizes) == len(shape) and all(
        type(size) is int and size > 0 and length % size == 0
        for size, length in zip(sizes, shape, strict=True)
    )
    if not fine:
        raise DataError(f"{where!r}: blocks of {str(block)[:60]} do not divide {shape}")
    return [length // size for size, length in zip(sizes, shape, strict=True)]


def _widened(
    figure: torch.Tensor, counts: list[int], codes: torch.Tensor, where: str
) -> torch.Tensor:
    """Repeat one figure for each block so that there is one for each number."""
    blocks = 1
    for count in counts:
        blocks *= count
    if figure.numel() != blocks or codes.numel() > LARGEST:
        raise DataError(f"{where!r}: expected {blocks} scales or zeros, found {figure.numel()}")
    wide = figure.float().reshape(counts)
    for axis, (count, length) in enumerate(zip(counts, codes.shape, strict=True)):
        if count:
            wide = wide.repeat_interleave(length // count, axis)
    return wide


def unflatten(
    tensors: Mapping[str, torch.Tensor], told: Mapping[str, str]
) -> dict[str, torch.Tensor]:
    """Put together what torchao laid flat into safetensors, as the metadata say; else as it is.

    Raises:
        DataError: A weight is of a class that is not read, or its parts do not fit together.

    """
    weights = dict(tensors)
    for name, words in told.items():
        note = _note(words)
        kind = note.get("_type")
        names, data = note.get("_tensor_data_names"), note.get("_data")
        if not isinstance(kind, str) or not isinstance(names, list) or not isinstance(data, dict):
            continue
        home, _, leaf = name.rpartition(".")
        places = {str(part): f"{home}._{leaf}_{part}" for part in names}
        if name in tensors or not all(place in weights for place in places.values()):
            continue
        parts = {part: weights.pop(place) for part, place in places.items()}
        weights[name] = dequantise(kind, {**data, **parts}, name)
    return weights


def _note(words: str) -> dict[str, Any]:
    """Read what metadata say of one weight, {} where it is no such note."""
    if len(words) > LARGEST_NOTE or not words.startswith("{"):
        return {}
    try:
        note = json.loads(words)
    except (ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}
