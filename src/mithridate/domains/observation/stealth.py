"""How far an observation was moved, and what observations are like apart from what they say.

Axes: n observations, h rows, w columns, k planes or values.
"""

from __future__ import annotations

import torch

from mithridate.core.errors import DataError


def difference(before: torch.Tensor, after: torch.Tensor) -> dict[str, torch.Tensor]:
    """Compare observations with their changed twins, float64[n] for each measure.

    cells: how many cells or values differ; share: of all that there are; largest: how far one is
    moved, in the units of the observation. Larger is easier to notice.

    Raises:
        DataError: where the shapes or the kinds differ.
    """
    if before.shape != after.shape or before.dtype != after.dtype:
        raise DataError(
            "observations can only be compared with their changed twins: expected "
            f"{before.dtype} {list(before.shape)}, found {after.dtype} {list(after.shape)}"
        )
    moved = (before != after).flatten(1)
    apart = (before.double() - after.double()).abs().flatten(1)
    return {
        "cells": moved.sum(1).double(),
        "share": moved.double().mean(1),
        "largest": apart.amax(1),
    }


def properties(seen: torch.Tensor) -> dict[str, torch.Tensor]:
    """Measure observations, float64[n] for each property.

    filled: the share of cells that are on, or of values that are not 0; size: the root of the mean
    square of the values; whole: the share of values that are whole numbers, as sensors that round
    give them.
    """
    values = seen.double().flatten(1)
    return {
        "filled": (values != 0).double().mean(1),
        "size": values.square().mean(1).sqrt(),
        "whole": (values == values.round()).double().mean(1),
    }
