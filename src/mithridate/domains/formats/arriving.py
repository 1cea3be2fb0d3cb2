"""Inputs that arrive at a service beside the examples that its model was trained on."""

from __future__ import annotations

import torch

from mithridate.core.data import Inputs
from mithridate.core.errors import DataError
from mithridate.core.spelling import option
from mithridate.domains.formats.sounds import refit
from mithridate.domains.registry import laid_out_like


def inputs_like(known: Inputs, arriving: Inputs, where: str) -> Inputs:
    """Give inputs the channels of the examples that a model knows; grey is read as RGB.

    Args:
        known: of examples, images uint8[n, k, h, w], sounds int16[n, t] or texts object[n].
        arriving: other inputs.
        where: they were read, for messages.

    Raises:
        DataError: where they are of another kind or size.

    """
    arriving = laid_out_like(known, arriving)
    mine, theirs = (list(getattr(each, "shape", ()))[1:] for each in (known, arriving))
    if mine == theirs:
        return arriving
    if isinstance(arriving, torch.Tensor) and [theirs[0], *mine] == [1, 3, *theirs[1:]]:
        return arriving.expand(-1, 3, -1, -1).contiguous()
    if len(mine) == len(theirs) == 1 and known.dtype == arriving.dtype == torch.int16:
        return refit(arriving, mine[0])  # sounds end in silence, or lose their ends
    pictures = len(mine) == len(theirs) == 3
    resized = pictures and mine[1:] != theirs[1:] and mine[1] == mine[2]
    way_out = f"; {option('size', mine[1])} resizes them" if resized else ""
    raise DataError(
        f"{where!r}: expected inputs like the trusted examples, {_described(mine)}, found "
        f"{_described(theirs)}{way_out}"
    )


def _described(shape: list[int]) -> str:
    if not shape:
        return "texts"
    if len(shape) == 1:
        return f"sounds of {shape[0]} samples"
    if len(shape) != 3:
        return f"inputs of the form {shape}"
    colours = "RGB" if shape[0] == 3 else "grey"
    return f"{colours} images of {shape[2]}x{shape[1]} pixels"
