"""The trusted examples of a repair: most to learn from, some held out to stop and choose by.

No other data may decide when a repair stops or how much it cuts: not the suspects, some of which
may be poisoned, and never test data.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from mithridate.core.data import Dataset
from mithridate.core.errors import MethodError
from mithridate.core.view import View

FEWEST = 10
"""Trusted examples without which a repair would only guess."""


class Trusted(NamedTuple):
    """Disjoint trusted examples."""

    learn: Dataset
    held: Dataset


def use_all_trusted(view: View) -> Dataset:
    """Give all trusted examples, to a repair that decides nothing by them.

    Raises:
        MethodError: where fewer than ten are trusted.
    """
    data = view.clean
    if len(data) < FEWEST:
        raise MethodError(
            f"a repair needs at least {FEWEST} trusted examples, found {len(data)}; "
            "trust more, or use a repair that needs none"
        )
    return data


def hold_out(view: View, rng: np.random.Generator, share: float = 0.2) -> Trusted:
    """Hold out a share of the trusted examples, at random; two are held out at least.

    Raises:
        MethodError: where fewer than ten are trusted, or where the share leaves none to learn.
    """
    data = use_all_trusted(view)
    held = max(2, round(share * len(data)))
    if held >= len(data):
        raise MethodError(f"the share that is held out must lie below 1, found {share}")
    order = torch.from_numpy(rng.permutation(len(data)))
    return Trusted(data.subset(order[held:]), data.subset(order[:held]))
