"""What data and work are known by: digests of contents, never of names or times."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from mithridate.core.data import Dataset


def fingerprint(data: Dataset) -> str:
    """Give the SHA-256 of the class names, labels and inputs in their order."""
    digest = hashlib.sha256(json.dumps(data.classes).encode())
    digest.update(data.labels.contiguous().numpy().data)
    if isinstance(data.inputs, torch.Tensor):
        digest.update(f"{data.inputs.dtype}{list(data.inputs.shape)}".encode())
        digest.update(np.ascontiguousarray(data.inputs.numpy()).data)
    else:
        for value in data.inputs:
            raw = str(value).encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "big") + raw)  # the length keeps rows apart
    return digest.hexdigest()


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
