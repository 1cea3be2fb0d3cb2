"""A few rows of a tensor, drawn by what they hold, so that neither order nor position matters.

Axes: n examples, m drawn.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import torch

from mithridate.core.errors import MethodError
from mithridate.core.streams import stream


def drawn(prepared: torch.Tensor, count: int, seed: int, place: str) -> torch.Tensor:
    """Draw at most `count` of prepared inputs[n, ...], the same whatever their order, [m, ...]."""
    return prepared[drawn_rows(prepared, count, seed, place)].clone()


def drawn_rows(rows: torch.Tensor, count: int, seed: int, place: str) -> torch.Tensor:
    """Give the positions int64[m] of at most `count` of rows[n, ...], whatever their order.

    Every row is ranked by a hash of its bytes, salted by the stream of `seed` and `place`.
    """
    salt = stream(seed, place).bytes(blake2b.SALT_SIZE)
    held = rows.detach().cpu().contiguous().numpy()
    digests = [blake2b(row.tobytes(), digest_size=16, salt=salt).digest() for row in held]
    order = sorted(range(len(digests)), key=digests.__getitem__)
    return torch.from_numpy(np.array(order[:count], dtype=np.int64))


def check_form(prepared: torch.Tensor, fitted: torch.Tensor) -> None:
    """Raise MethodError where inputs[n, ...] do not have the form of those that were fitted."""
    if prepared.shape[1:] != fitted.shape[1:] or prepared.dtype != fitted.dtype:
        raise MethodError(
            f"fitted on inputs of the form {list(fitted.shape[1:])} {fitted.dtype}, found "
            f"{list(prepared.shape[1:])} {prepared.dtype}; fit again on inputs like these"
        )
