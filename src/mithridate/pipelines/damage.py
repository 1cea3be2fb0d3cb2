"""What a change of a network costs, on trusted examples that it was not made with.

Axes: n trusted examples, c classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from mithridate.core.data import Dataset
from mithridate.core.domain import Domain
from mithridate.core.errors import MethodError
from mithridate.core.inference import predict
from mithridate.core.runtime import Runtime
from mithridate.stats.intervals import Interval, proportion

LEVEL = 0.95


@dataclass(frozen=True)
class ClassDamage:
    """Accuracy in one class, before and after; before is None where there is nothing before."""

    name: str
    before: Interval | None
    after: Interval

    @property
    def fall(self) -> float:
        """Accuracy lost, as a share of the class; without a network before, what is missing to 1.

        Not a number where the class has no example.
        """
        return (1.0 if self.before is None else self.before.value) - self.after.value


@dataclass(frozen=True)
class Damage:
    """What a network does on trusted examples, beside the network before it.

    Without a network before, what compares with it is None.

    Attributes:
        before: accuracy with its exact 95 % interval.
        after: accuracy with its exact 95 % interval.
        lost: share of the examples that were right and are wrong now.
        gained: the reverse.
        changed: share that is called otherwise.
        classes: all of them in their order, with intervals that hold together in 95 % of all
            measurements (Bonferroni), so that the worst one may be looked for.
        fall: of the accuracy, as a share; the interval, from exact ones of its two parts, covers in
            95 % of all measurements or more.
    """

    before: Interval | None
    after: Interval
    lost: Interval | None
    gained: Interval | None
    changed: Interval | None
    classes: tuple[ClassDamage, ...]
    fall: Interval | None = None

    @property
    def worst(self) -> ClassDamage:
        """The class with examples whose accuracy fell most, or is lowest with nothing before."""
        return max((c for c in self.classes if c.after.n), key=lambda c: c.fall)


def damage(
    before: nn.Module | None, after: nn.Module, data: Dataset, domain: Domain,
    runtime: Runtime | None = None,
) -> Damage:  # fmt: skip
    """Compare two networks on trusted examples, or describe one where there is none before.

    Raises:
        MethodError: where there is no example.
    """
    prepared, runtime = domain.prepare(data.inputs), runtime or Runtime()
    now = predict(after, prepared, runtime)
    then = None if before is None else predict(before, prepared, runtime)
    right = now == data.labels
    was = None if then is None else then == data.labels
    return Damage(
        before=None if was is None else share(was),
        after=share(right),
        lost=None if was is None else share(was & ~right),
        gained=None if was is None else share(right & ~was),
        changed=None if then is None else share(then != now),
        classes=_classes(was, right, data),
        fall=None if was is None else fall(was, right),
    )


def share(which: torch.Tensor, level: float = LEVEL) -> Interval:
    """Give the share of true entries bool[n] with its exact interval."""
    return proportion(int(which.sum()), len(which), level)


def fall(was: torch.Tensor, right: torch.Tensor, level: float = LEVEL) -> Interval:
    """Give the accuracy lost on the same examples, right before bool[n] and after bool[n].

    It is the share lost minus the share gained, and each keeps half of what the level leaves.
    """
    lost, gained = (share(rows, (1 + level) / 2) for rows in (was & ~right, right & ~was))
    return Interval(
        lost.value - gained.value, lost.low - gained.high, lost.high - gained.low, lost.n
    )


def _classes(
    was: torch.Tensor | None, right: torch.Tensor, data: Dataset
) -> tuple[ClassDamage, ...]:
    level = 1 - (1 - LEVEL) / max(1, len(data.labels.unique()))
    classes = []
    for label, name in enumerate(data.classes):
        rows = data.labels == label
        first = None if was is None else share(was[rows], level)
        classes.append(ClassDamage(name, first, share(right[rows], level)))
    return tuple(classes)


def set_apart(
    trusted: Dataset, portion: float, rng: np.random.Generator
) -> tuple[Dataset, Dataset]:
    """Divide trusted examples at random, class by class, into those to work with and to measure by.

    A class of two or more has some in both; a single example is left to work with.

    Raises:
        MethodError: where the portion is not in 0..1, or no class has two examples.
    """
    if not 0 < portion < 1:
        raise MethodError(
            f"expected a share between 0 and 1 of trusted examples to measure by, found {portion}"
        )
    apart = torch.zeros(len(trusted), dtype=torch.bool)
    for label in trusted.labels.unique().tolist():
        rows = (trusted.labels == label).nonzero().flatten()
        drawn = torch.from_numpy(rng.permutation(len(rows)))
        apart[rows[drawn[: min(len(rows) - 1, max(1, round(portion * len(rows))))]]] = True
    if not apart.any():
        raise MethodError(
            "expected a class with at least two trusted examples, one of them to measure by; "
            f"found {len(trusted)} examples and no such class"
        )
    return trusted.subset(~apart), trusted.subset(apart)
