"""Whether suspects and trusted examples are of one source, asked before any verdict.

Only properties that say nothing of labels or triggers are compared: how inputs were taken, written
and encoded. A few poisoned examples must not count as another source, so a difference has to be
sure and as large as a few cannot make it.
Axes: N examples, suspect and trusted together; P properties.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mithridate.core.data import Dataset, concatenate
from mithridate.core.domain import Domain
from mithridate.stats.shifted import shifted

SURE = 0.001
"""Level of the test: the probability that examples of one source are called different."""

LARGE = 0.1
"""How far from 0.5 the area under the curve must lie.

Where a share r of all suspects is poisoned and has more of a property than every other, it moves by
about r / 2 (results/overlap).
"""

Numbers = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class Difference:
    """One property in which suspects and trusted examples differ.

    Attributes:
        name: Of the property, as the domain calls it.
        auc: The probability that a suspect has more of it than a trusted example of its class.
        p_value: Adjusted for all properties.

    """

    name: str
    auc: float
    p_value: float

    @property
    def is_large(self) -> bool:
        """Whether a few poisoned examples cannot have made it."""
        return abs(self.auc - 0.5) >= LARGE

    def told(self) -> str:
        """Say it in words."""
        more = "higher" if self.auc > 0.5 else "lower"
        return f"{self.name} is {more} among suspects than among trusted ones (AUC {self.auc:.2f})"


def differences(
    suspects: Dataset,
    trusted: Dataset,
    domain: Domain,
    rng: np.random.Generator,
    strata: Numbers | None = None,
) -> tuple[Difference, ...]:
    """Find the properties that surely differ, the largest difference first."""
    both = concatenate(suspects, trusted)
    measured = domain.properties(both.inputs)
    if not measured or not len(suspects) or not len(trusted):
        return ()
    values = np.stack([each.double().numpy() for each in measured.values()])
    is_trusted = np.arange(len(both)) >= len(suspects)
    tested = shifted(values, both.labels.numpy(), is_trusted, rng, strata=strata)
    told = [
        Difference(name, float(auc), float(p))
        for name, auc, p in zip(measured, tested.auc, tested.adjusted, strict=True)
        if p <= SURE
    ]
    return tuple(sorted(told, key=lambda each: -abs(each.auc - 0.5)))


def why_not(differ: tuple[Difference, ...]) -> str:
    """Say why no error rate can be stated; "" where nothing large differs."""
    large = [each for each in differ if each.is_large]
    if not large:
        return ""
    named = "; ".join(each.told() for each in large[:3])
    return (
        f"suspects and trusted examples are not of one source: {named}. No error rate can be "
        "stated, since whatever differs may look like poison; scores only put the examples of a "
        "class in an order. Trusted examples that were taken, written and encoded like the "
        "suspects end this, such as some of the suspects that somebody has checked"
    )
