"""Which texts are copies of each other: the same words and marks, in other case or spacing.

That is what our networks of texts see of a text: whatever they could tell apart is no copy, so a
mark or an invisible character that an attacker puts in makes another text.
Axes: n texts.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mithridate.core.data import Inputs
from mithridate.core.fingerprint import scattered
from mithridate.domains.text.words import check, words


def signature(texts: Inputs) -> NDArray[np.float64]:
    """Give numbers float64[n, d] that lie within a distance of 1 for copies, and else far apart."""
    check(texts)
    return scattered(_key(text).encode("utf-8", "surrogatepass") for text in texts)


def alike(first: Inputs, second: Inputs) -> torch.Tensor:
    """Say which pairs of texts are copies of each other, bool[n]."""
    pairs = zip(first, second, strict=True)
    return torch.tensor([_key(one) == _key(other) for one, other in pairs], dtype=torch.bool)


def _key(text: str) -> str:
    return "".join(words(text))
