"""Rows of a table as tensors, so that they can be kept without a pickle.

Axes: n rows, u distinct texts.
"""

from __future__ import annotations

import json

import numpy as np
import torch

from mithridate.core.data import Inputs
from mithridate.domains.table.columns import Column, columns_of, dtype_of, texts_of


def pack(inputs: Inputs) -> dict[str, torch.Tensor]:
    """Give numbers, integers, codes of categories, the texts of the codes, and the columns.

    Raises:
        DataError: where these are no rows of a table.
    """
    columns = columns_of(inputs)
    known: dict[str, int] = {}
    values = {"number": np.float64, "integer": np.int64, "category": np.int64}
    parts: dict[str, torch.Tensor] = {}
    for kind, held in values.items():
        names = [column.name for column in columns if column.kind == kind]
        block = np.zeros((len(names), len(inputs)), dtype=held)
        for i, name in enumerate(names):
            if kind == "category":
                block[i] = [known.setdefault(text, len(known)) for text in texts_of(inputs, name)]
            else:
                block[i] = inputs[name]
        parts[kind] = torch.from_numpy(block)
    about = {"columns": [[c.name, c.kind] for c in columns], "texts": list(known)}
    written = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8).copy()
    return {**parts, "about": torch.from_numpy(written)}


def unpack(tensors: dict[str, torch.Tensor]) -> Inputs:
    """Give the rows back."""
    about = json.loads(tensors["about"].numpy().tobytes())
    columns = tuple(Column(name, kind) for name, kind in about["columns"])
    texts = np.empty(len(about["texts"]), dtype=object)
    texts[:] = about["texts"]
    rows = np.empty(tensors["number"].shape[1], dtype=dtype_of(columns))
    used = {"number": 0, "integer": 0, "category": 0}
    for column in columns:
        block = tensors[column.kind][used[column.kind]].numpy()
        rows[column.name] = texts[block] if column.kind == "category" else block
        used[column.kind] += 1
    return rows
