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


class Trusted(NamedTuple):
    """Disjoint trusted examples."""

    learn: Dataset
    held: Dataset


def trusted(view: View, rng: np.random.Generator, share: float = 0.2) -> Trusted:
    """Hold out a share of the trusted examples, at random.

    Raises MethodError where fewer than ten are trusted.
    """
    data = view.clean
    if len(data) < 10:
        raise MethodError(f"a repair needs at least 10 trusted examples, found {len(data)}")
    order = torch.from_numpy(rng.permutation(len(data)))
    held = max(2, round(share * len(data)))
    return Trusted(data.subset(order[held:]), data.subset(order[:held]))
