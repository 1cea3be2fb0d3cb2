"""Which of our own networks weights are like, for whoever did not say what they are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mithridate.artifacts.parts import Tensors, fits
from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MithridateError

WIDEST = 512
"""The width up to which a network is built to be compared: the file may say anything."""

HALF = 0.5
"""Share of the tensors that must fit for a network to be named as the nearest."""


def nearest(
    domain: Domain, data: Dataset, parts: Mapping[str, Tensors], rng: np.random.Generator
) -> str:
    """Say which of the domain's own networks fits weights, or comes near; "" where none does.

    Args:
        domain: What the inputs are.
        data: What the network is for.
        parts: Tensors by name, by the name of the part.
        rng: For the first weights of the networks that are compared.
    """
    best, share = "", 0.0
    for name in _names(domain, parts):
        try:
            expected = domain.network(data.subset(range(min(2, len(data)))), name, rng).state_dict()
        except MithridateError:  # no network of this width
            continue
        if fits(expected, parts):
            return f"of our own networks, {name} fits"
        alike = max(_alike(expected, tensors) for tensors in parts.values())
        if alike > share:
            best, share = name, alike
    if share < HALF:
        return "none of our own networks is like them"
    return f"of our own networks, {best} is nearest: {100 * share:.0f} % of its tensors are there"


def _names(domain: Domain, parts: Mapping[str, Tensors]) -> Iterator[str]:
    """The names to try: each network as it is, and as wide as the first weights say."""
    widths = {
        next((len(v) for v in tensors.values() if v.ndim > 1 and len(v) > 1), 0)
        for tensors in parts.values()
    }
    for name in getattr(domain, "networks", ()):
        yield name
        yield from (f"{name}:{width}" for width in sorted(widths) if 1 < width <= WIDEST)


def _alike(expected: Tensors, given: Tensors) -> float:
    """The share of the tensors of a network that are there by name and shape."""
    same = [n for n, v in expected.items() if n in given and given[n].shape == v.shape]
    return len(same) / max(1, len(expected))
