"""Whether a network was made like its references, by what a backdoor does not move.

Ranks among references say something of a model only where a clean one like it is one more draw of
them. Here trusted examples are asked what the model does with ordinary inputs: how often it is
right, how sure it is, how large its logits are. A backdoor leaves these alone; another way of
training moves them. Where they lie outside those of every reference, no rank is taken.
Axes: n trusted examples, c classes, m reference networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from mithridate.core.inference import logits_of
from mithridate.core.runtime import Runtime
from mithridate.pipelines.deployment import Placed
from mithridate.stats.leaving_out import Floats
from mithridate.stats.membership import Belonging, belonging

Vitals = Mapping[str, float]
"""What a network does with trusted examples, by the name of the figure."""

SHARES = {
    "accuracy": "its accuracy on trusted examples",
    "confidence": "its mean confidence on trusted examples",
}
SIZES = {
    "logits": "the size of its logits on trusted examples",
    "loss": "its mean loss on trusted examples",
}
SAID = {**SHARES, **SIZES}
"""Every figure, in words."""

FEWEST = 10
"""References below which nothing is said: the spread of a few is no measure."""


@dataclass(frozen=True, eq=False)
class Membership:
    """Whether a network is of the population.

    Attributes:
        own: The figures of the network.
        low: The smallest of the references, by figure.
        high: The largest of the references, by figure.
        belonging: How far it lies from them.
        others: The figures of each of the references.
        why: In what it differs so much that it cannot be judged by ranks; "" where it can.

    """

    own: Vitals
    low: Vitals
    high: Vitals
    belonging: Belonging
    others: tuple[Vitals, ...]
    why: str = ""


def vitals_of(place: Placed, runtime: Runtime | None = None) -> Vitals:
    """Ask a network about trusted examples.

    Args:
        place: The network, with trusted examples.
        runtime: Where to compute.

    """
    trusted = place.trusted
    assert trusted is not None, "a network is asked about trusted examples"
    prepared = place.domain.prepare(trusted.inputs)
    logits = logits_of(place.model, prepared, runtime or Runtime(), place.precision)
    return vitals(logits, trusted.labels)


def vitals(logits: torch.Tensor, labels: torch.Tensor) -> Vitals:
    """Give the figures of a network by what it answers.

    Args:
        logits: float[n, c], of trusted examples.
        labels: int64[n], of these.

    """
    logits = logits.double()
    apart = logits - logits.mean(1, keepdim=True)
    right = int((logits.argmax(1) == labels).sum())
    return {
        "accuracy": (right + 0.5) / (len(labels) + 1),  # never 0 or 1
        "confidence": float(logits.softmax(1).amax(1).mean()),
        "logits": float(apart.square().mean().sqrt()),
        "loss": float(F.cross_entropy(logits, labels)),
    }


def compare(own: Vitals, others: Sequence[Vitals], level: float) -> Membership | None:
    """Compare a network with its references; None where there are too few, or a figure is missing.

    Args:
        own: Of the network.
        others: Of the references.
        level: Probability of "of another kind", at most, for a network like the references.

    """
    rows = [own, *(row for row in others if _whole(row))]
    if len(rows) <= FEWEST or not _whole(own):
        return None
    ends = (min, max)
    low, high = ({name: end(row[name] for row in rows[1:]) for name in SAID} for end in ends)
    among = belonging(np.array([_on_a_line(row) for row in rows]))
    name = list(SAID)[among.figure]
    why = _told(name, own[name], low[name], high[name]) if among.apart(level) else ""
    return Membership(own, low, high, among, tuple(rows[1:]), why)


def _whole(row: Vitals) -> bool:
    """Whether every figure is there and finite."""
    return all(name in row and math.isfinite(row[name]) for name in SAID)


def _on_a_line(row: Vitals) -> Floats:
    """Shares as log-odds and sizes as logarithms, float64[v], where differences are comparable."""
    shares = torch.tensor([row[name] for name in SHARES], dtype=torch.float64)
    sizes = torch.tensor([row[name] for name in SIZES], dtype=torch.float64)
    line = torch.cat([shares.clamp(1e-6, 1 - 1e-6).logit(), sizes.clamp_min(1e-9).log()])
    return np.asarray(line.numpy())


def _told(name: str, own: float, low: float, high: float) -> str:
    """Say in words in what a network differs from every reference."""
    if name in SHARES:
        spelt = f"{100 * own:.1f} %, and that of the clean references {100 * low:.1f} to "
        return f"{SAID[name]} is {spelt}{100 * high:.1f} %"
    ratio = own / high if own > high else low / max(own, 1e-9)
    side = "times that of any clean reference" if own > high else "times smaller than that of any"
    return f"{SAID[name]} is {ratio:.1f} {side}" + ("" if own > high else " clean reference")
