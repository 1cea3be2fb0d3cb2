"""What data and work are known by: digests of contents, never of names or times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Dataset, Inputs


def fingerprint(data: Dataset) -> str:
    """Give the SHA-256 of the class names, labels and inputs in their order."""
    digest = hashlib.sha256(json.dumps(data.classes).encode())
    digest.update(data.labels.contiguous().numpy().data)
    if isinstance(data.inputs, torch.Tensor):
        digest.update(f"{data.inputs.dtype}{list(data.inputs.shape)}".encode())
        digest.update(np.ascontiguousarray(data.inputs.numpy()).data)
    else:
        for value in data.inputs:
            raw = _written(value)
            digest.update(len(raw).to_bytes(8, "big") + raw)  # the length keeps rows apart
    return digest.hexdigest()


def digests(inputs: Inputs) -> Iterator[bytes]:
    """Give the digest of each raw input[n]; equal ones have the same."""
    for value in inputs:
        raw = (
            np.ascontiguousarray(value.numpy()).tobytes()
            if isinstance(value, torch.Tensor)
            else _written(value)
        )
        yield hashlib.blake2b(raw, digest_size=16).digest()


def differing(before: Inputs, after: Inputs) -> torch.Tensor:
    """Say which raw inputs[n] are others than before, bool[n]."""
    if isinstance(before, torch.Tensor):
        changed: torch.Tensor = (before != after).flatten(1).any(1)
        return changed
    if before.dtype.names:  # a number that is missing does not equal itself, and its digest does
        pairs = zip(digests(before), digests(after), strict=True)
        return torch.tensor([one != other for one, other in pairs], dtype=torch.bool)
    return torch.from_numpy((before != after).astype(bool))


def _written(value: Any) -> bytes:
    """Give a text, or a row of a table with every digit of its numbers, as bytes."""
    whole = value.item() if isinstance(value, np.void) else value
    return str(whole).encode("utf-8", "surrogatepass")


def scattered(keys: Iterable[bytes]) -> NDArray[np.float64]:
    """Give a point for each key, float64[n, 4]; those of unequal keys are far more than 1 apart.

    Two given keys are nearer than that with a probability of about 1e-37.
    """
    codes = [hashlib.blake2b(key, digest_size=16).digest() for key in keys]
    points = np.frombuffer(b"".join(codes), dtype=">u4").reshape(len(codes), 4)
    return points.astype(np.float64)


def sha256_of(path: Path) -> str:
    """Give the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def place_of(*parts: object) -> str:
    """Give the name of the folder in which work is kept while it is unfinished.

    Args:
        parts: All that the work depends on; other parts give another name.

    """
    return hashlib.sha256("|".join(map(repr, parts)).encode()).hexdigest()[:16]
