"""What a step gave, in one digest: two steps that gave the same are the same to whatever follows.

It depends on no other module of the package, so that it can be asked of any version of it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

MEASURED_AGAIN = ("cost", "origin")
"""Facts that differ from run to run."""


def output_digest(tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> str:
    """Give the digest of the tensors and facts that a step leaves behind, 32 hexadecimal digits.

    What differs from run to run is measured and not given.
    """
    given = {name: fact for name, fact in facts.items() if name not in MEASURED_AGAIN}
    parts = [json.dumps(given, sort_keys=True).encode()]
    for name in sorted(tensors):
        parts += [name.encode(), *_tensor(tensors[name])]
    return _digest(parts)


def split_digest(parts: Iterable[Any], domain: Any) -> str:
    """Give the digest of data sets and of their domain's settings, 32 hexadecimal digits.

    A setting that has its default is left out: the default is part of the domain's code.

    Args:
        parts: Of suspect, trusted and test examples, each with inputs, labels, ids and classes.
        domain: A dataclass that fulfils `Domain`.
    """
    pieces = [type(domain).__qualname__.encode(), _settings(domain).encode()]
    for data in parts:
        pieces += [json.dumps(list(data.classes)).encode(), *_tensor(data.labels)]
        pieces += [*_tensor(data.ids), *_inputs(data.inputs)]
    return _digest(pieces)


def _settings(domain: Any) -> str:
    fields = dataclasses.fields(domain)
    values = {f.name: getattr(domain, f.name) for f in fields}
    odd = {f.name: values[f.name] for f in fields if values[f.name] != f.default}
    return json.dumps(odd, sort_keys=True, default=repr)


def _inputs(inputs: Any) -> list[Any]:
    if isinstance(inputs, torch.Tensor):
        return _tensor(inputs)
    whole = (value.item() if isinstance(value, np.void) else value for value in inputs)
    return [str(value).encode("utf-8", "surrogatepass") for value in whole]


def _tensor(tensor: torch.Tensor) -> list[Any]:
    """The type, the shape and the bytes of a tensor."""
    whole = tensor.detach().cpu().contiguous()
    head = f"{whole.dtype} {list(whole.shape)}".encode()
    return [head, np.ascontiguousarray(whole.flatten().view(torch.uint8).numpy()).data]


def _digest(parts: Iterable[Any]) -> str:
    """The digest of pieces of bytes, with their lengths, so that none can run into the next."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        size = part.nbytes if isinstance(part, memoryview) else len(part)
        digest.update(size.to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
