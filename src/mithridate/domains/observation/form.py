"""The form of raw observations, by which they are told from images, sound and tables.

Axes: n observations, h rows, w columns, k planes or values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mithridate.core.errors import DataError

EXPECTED = "planes of cells bool[n, rows, columns, planes] or vectors float32[n, 1, 1, values]"


def is_planes(inputs: Any) -> bool:
    """Whether these are planes of cells, bool[n, h, w, k]."""
    known = isinstance(inputs, torch.Tensor) and inputs.ndim == 4
    return known and bool(inputs.dtype == torch.bool and min(inputs.shape[1:]) > 0)


def is_vectors(inputs: Any) -> bool:
    """Whether these are vectors of numbers, float32[n, 1, 1, k]: a grid of one cell."""
    known = isinstance(inputs, torch.Tensor) and inputs.ndim == 4
    alone = known and tuple(inputs.shape[1:3]) == (1, 1) and inputs.shape[3] > 0
    return alone and bool(inputs.dtype == torch.float32)


def check(inputs: Any) -> torch.Tensor:
    """Give observations as they are.

    Raises:
        DataError: where they are none, or a number is not finite.
    """
    if not is_planes(inputs) and not is_vectors(inputs):
        raise DataError(
            f"expected observations as {EXPECTED}, found {type(inputs).__name__} "
            f"{getattr(inputs, 'dtype', '')} {list(getattr(inputs, 'shape', []))}"
        )
    tensor: torch.Tensor = inputs
    if tensor.dtype == torch.float32 and not bool(tensor.isfinite().all()):
        raise DataError("expected finite numbers in observations, found NaN or infinity")
    return tensor


def formed(values: np.ndarray[Any, Any]) -> torch.Tensor:
    """Bring an array of observations as environments give them into this form.

    Floats and whole numbers [n, k] become vectors; [n, h, w, k] of bool, or of nothing but 0 and 1,
    become planes. Vectors of float64 are rounded to float32, as agents see them.

    Raises:
        DataError: for pixels, which are images, and for other shapes and kinds.
    """
    numbers = values.dtype.kind in "biuf"
    if numbers and values.ndim == 2 and values.shape[1] > 0:
        made = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
        return check(made[:, None, None, :])
    binary = values.dtype.kind == "b" or (numbers and bool(np.isin(values, (0, 1)).all()))
    if numbers and values.ndim == 4 and binary:
        return check(torch.from_numpy(np.ascontiguousarray(values, dtype=bool)))
    hint = "; pixels are images: give them with their actions as images and labels"
    raise DataError(
        "expected observations as vectors [n, values] or planes of 0 and 1 "
        f"[n, rows, columns, planes], found {values.dtype} {list(values.shape)}"
        + (hint if values.ndim >= 3 else "")
    )
